"""The provider: what a call sees of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

import patter_scripted
from patter.environment import Environment
from patter.errors import ConfigError
from patter.plugins.building import SharedObjectPool, build
from patter.plugins.manager import PluginManager
from patter.plugins.resolving import resolve
from patter.providers.context import ProviderContext
from patter.providers.llm import LLM, Done, Message, Text, ToolCallDelta, ToolSpec, Usage
from patter.testing.virtual_loop import run_virtual
from patter_scripted.loading import booking

BOOKED = [
    Message("user", line)
    for line in ("book a table", "friday", "at seven thirty", "four people", "the name is miller", "yes")
]
TOOL = ToolSpec("book_table", "Book.", {"type": "object", "properties": {}})


def responder(reference="scripted"):
    """As a call gets it: registered, resolved and built."""
    manager = PluginManager(environ={"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"})
    manager.register(patter_scripted, "scripted")
    llm = build(
        manager, resolve(manager, "llm", reference), ProviderContext(Environment(), SharedObjectPool())
    )
    assert isinstance(llm, LLM)
    return llm


async def chunks_of(llm, messages, tools=(), cancel_event=None):
    event = cancel_event or asyncio.Event()
    return [chunk async for chunk in llm.stream(messages, tools, cancel_event=event, call_id="call_1")]


def test_streams_a_reply_word_by_word():
    async def main():
        *words, usage, done = await chunks_of(responder(), [Message("user", "where are you")])
        assert all(isinstance(chunk, Text) for chunk in words)
        assert all(len(chunk.content.split()) == 1 for chunk in words)
        text = "".join(chunk.content for chunk in words)
        assert text.startswith("You find us at twelve Mill Lane")
        assert usage == Usage(0, 0)
        assert done == Done()

    run_virtual(main())


def test_the_pause_before_each_word():
    async def main():
        llm = responder("scripted?token_delay_ms=40")
        now = asyncio.get_running_loop().time
        stream = llm.stream([], [], cancel_event=asyncio.Event(), call_id="c")
        times = [now() async for chunk in stream if isinstance(chunk, Text)]
        assert times == pytest.approx([0.04 * n for n in range(1, len(times) + 1)])
        assert len(times) == len(booking().greeting.split())

    run_virtual(main())


@pytest.mark.parametrize("reference", ["scripted", "scripted?token_delay_ms=1000"])
def test_a_cancellation_ends_the_stream_at_once(reference):
    async def main():
        cancel = asyncio.Event()
        loop = asyncio.get_running_loop()
        chunks = []
        async for chunk in responder(reference).stream([], [], cancel_event=cancel, call_id="c"):
            chunks.append(chunk)
            loop.call_later(0.01, cancel.set)
            if reference == "scripted":
                cancel.set()
        assert len(chunks) == 1
        assert loop.time() <= 1.02

    run_virtual(main())


def test_calls_a_tool_and_uses_its_result():
    async def main():
        llm = responder()
        chunks = await chunks_of(llm, BOOKED, [TOOL])
        (call,) = [chunk for chunk in chunks if isinstance(chunk, ToolCallDelta)]
        assert (call.index, call.name) == (0, "book_table")
        assert call.id
        assert json.loads(call.arguments) == {"day": "friday", "time": "19:30", "people": 4, "name": "Miller"}
        assert chunks[-1] == Done()
        without = await chunks_of(llm, BOOKED)
        assert not [chunk for chunk in without if isinstance(chunk, ToolCallDelta)]
        await llm.warmup()
        await llm.close()
        await llm.close()

    run_virtual(main())


def test_a_dialogue_of_ones_own(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "greeting: Ahoy!\nintents: {a: {patterns: a, reply: b}}\naffirm: yes\ndeny: no\naccepted: x\nchanged: x\n"
        "ask_change: x\nmore: x\nno_more: x\nfallback: What?\n",
        encoding="utf-8",
    )

    async def main():
        return (await chunks_of(responder(f"scripted?path={mine}"), []))[0]

    assert run_virtual(main()) == Text("Ahoy!")


@pytest.mark.parametrize(
    "reference", ["scripted?path=nowhere.yaml", "scripted?token_delay_ms=-1", "scripted?speed=1"]
)
def test_bad_settings_are_refused(reference):
    with pytest.raises(ConfigError):
        responder(reference)


def test_importing_the_plugin_imports_nothing_else():
    code = "import sys, patter_scripted; print(sorted({'yaml', 'pydantic', 'asyncio'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
