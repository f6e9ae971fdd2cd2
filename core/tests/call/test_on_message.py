"""`on_message`: functions that answer the caller in place of a model."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from patter import Agent, CallerMessage, ConfigError, MessageWebhook
from patter.agent import LLM_ERROR_MESSAGE
from patter.call.message_llm import MessageLLM
from patter.phone_settings import SettingsFile, effective_agent
from patter.providers.llm import Done, Message, Text


async def late(message: CallerMessage) -> str:
    await asyncio.sleep(0.2)
    return f"I heard: {message.text}"


async def piecewise(message: CallerMessage) -> AsyncIterator[str]:
    for piece in ("I heard", ": ", message.text):
        yield piece
        await asyncio.sleep(0.1)


def plain(message: CallerMessage) -> str:
    return f"I heard: {message.text}"


class Answerer:
    def __call__(self, message: CallerMessage) -> Any:
        return piecewise(message)

    async def answer(self, message: CallerMessage) -> str:
        return await late(message)


HANDLERS = [late, piecewise, plain, Answerer(), Answerer().answer, functools.partial(late)]


@pytest.mark.behaviour("LM-05")
@pytest.mark.parametrize("handler", HANDLERS)
async def test_a_function_answers_in_place_of_a_model(simcall: Any, handler: Any) -> None:
    async with simcall(llm=None, on_message=handler, first_message="Hello.") as call:
        await call.agent_says("Hello.")
        await call.caller_says("Is there a table?")
        await call.agent_says("I heard: Is there a table?")
        assert call.scene.model.requests == []
        assert call.failures == []


async def test_a_function_is_told_who_says_what_and_what_was_said(simcall: Any) -> None:
    told: list[CallerMessage] = []

    async def handler(message: CallerMessage) -> str | None:
        told.append(message)
        return "Fine." if len(told) == 1 else None

    agent = {"llm": None, "on_message": handler, "first_message": "Hello."}
    async with simcall(**agent, caller="+15550007777", callee="+15550001234") as call:
        await call.agent_says("Hello.")
        await call.caller_says("How are you?")
        await call.agent_says("Fine.")
        await call.quiet(500)
        await call.caller_says("Good to hear.")
        await call.quiet(2000)
        first, second = told
        assert (first.text, first.call_id) == ("How are you?", call.call.id)
        assert (first.caller, first.callee) == ("+15550007777", "+15550001234")
        assert first.history == (Message("assistant", "Hello."),)
        assert second.text == "Good to hear."
        assert second.history == (
            Message("assistant", "Hello."),
            Message("user", "How are you?"),
            Message("assistant", "Fine."),
        )
        assert call.heard == "Hello. Fine."  # nothing may be said, too


def test_a_plain_function_that_blocks_does_not_keep_the_loop_waiting() -> None:
    went_on = threading.Event()
    threads: list[str] = []

    def handler(message: CallerMessage) -> str:
        threads.append(threading.current_thread().name)
        return "the loop went on" if went_on.wait(10) else "the loop waited"

    async def ask() -> None:
        llm = MessageLLM(handler)
        asyncio.get_running_loop().call_later(0.01, went_on.set)
        stream = llm.stream([Message("user", "Where?")], [], cancel_event=asyncio.Event(), call_id="c")
        assert [chunk async for chunk in stream] == [Text("the loop went on"), Done()]
        await llm.close()
        await llm.close()

    asyncio.run(ask())
    assert threads == ["patter-message_0"]


async def test_an_interruption_ends_what_the_function_is_doing(simcall: Any) -> None:
    ended: list[str] = []

    async def handler(message: CallerMessage) -> AsyncIterator[str]:
        try:
            if "stop" in message.text:
                yield "Stopped."
                return
            for number in range(1000):
                yield f"This is sentence number {number} of very many. "
                await asyncio.sleep(0.5)
        finally:
            ended.append(message.text)

    async with simcall(llm=None, on_message=handler) as call:
        await call.caller_says("Talk to me.")
        await call.agent_says("sentence number 1 of")
        await call.caller_says("Please stop.")
        await call.agent_says("Stopped.")
    assert ended == ["Talk to me.", "Please stop."]
    assert next(line for line in call.transcript if line.role == "assistant").interrupted


@pytest.mark.parametrize("answer", [RuntimeError("key sk-1234567890abcdef"), 17, b"bytes", ["a list"]])
async def test_a_function_that_fails_is_not_asked_twice_and_the_caller_is_told(
    simcall: Any, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    asked: list[str] = []

    async def handler(message: CallerMessage) -> Any:
        asked.append(message.text)
        if len(asked) > 1:
            return "Now it works."
        if isinstance(answer, Exception):
            raise answer
        return answer

    with caplog.at_level(logging.WARNING):
        async with simcall(llm=None, on_message=handler) as call:
            await call.caller_says("Is there a table?")
            await call.agent_says(LLM_ERROR_MESSAGE)
            await call.quiet(500)
            assert asked == ["Is there a table?"]
            await call.caller_says("And now?")
            await call.agent_says("Now it works.")
    (failure,) = call.failures
    assert failure.kind == "llm"
    assert (
        str(failure.error)
        == f"on_message failed: {type(answer).__name__ if isinstance(answer, Exception) else 'TypeError'}"
    )
    assert "on_message failed" in caplog.text


async def test_a_function_has_fifteen_seconds_for_its_first_word(simcall: Any) -> None:
    async def handler(message: CallerMessage) -> str:
        await asyncio.sleep(60)
        return "too late"

    async with simcall(llm=None, on_message=handler, long_turn_message="One moment.", limit_s=60) as call:
        await call.caller_says("Is there a table?")
        began = asyncio.get_running_loop().time()
        await call.agent_says("One moment.")
        await call.agent_says(LLM_ERROR_MESSAGE)
        assert 15 <= asyncio.get_running_loop().time() - began < 20
        assert call.summary is None


# -- which of the two answers


@pytest.mark.behaviour("LM-05")
def test_a_model_and_on_message_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="llm and on_message"):
        Agent(stt="fake", llm="fake", on_message=late)
    with pytest.raises(ConfigError, match="llm and on_message"):
        Agent(stt="fake", llm="fake").changed(on_message=late)
    assert Agent(stt="fake", llm="fake").changed(llm=None, on_message=late).on_message is late
    file = SettingsFile(agent={"llm": "fake", "on_message": "https://agent.example.com/"})
    with pytest.raises(ConfigError, match="llm and on_message"):
        effective_agent(Agent(stt="fake"), file, {})


@pytest.mark.behaviour("LM-05")
@pytest.mark.parametrize("told", [True, False])
async def test_a_pipeline_that_can_answer_nobody_says_so_when_it_starts(
    phone: Any, caplog: pytest.LogCaptureFixture, told: bool
) -> None:
    options = {} if told else {"on_message": late}
    with caplog.at_level(logging.WARNING):
        await phone.start(Agent(stt="fake", tts="fake", **options), port=0)
    assert ("neither llm nor on_message: no turn will be answered" in caplog.text) is told


def test_what_is_set_in_code_wins_over_file_and_environment() -> None:
    environ = {"PATTER_LLM": "fake"}
    agent = effective_agent(Agent(stt="fake", on_message=late), SettingsFile(), environ)
    assert (agent.llm, agent.on_message) == (None, late)
    file = SettingsFile(agent={"on_message": "https://agent.example.com/"})
    agent = effective_agent(Agent(stt="fake", llm="other"), file, {})
    assert (agent.llm, agent.on_message) == ("other", None)
    agent = effective_agent(Agent(stt="fake"), file, environ)
    assert isinstance(agent.on_message, MessageWebhook)
    assert agent.llm is None


def test_an_agent_with_on_message_alone_is_a_pipeline() -> None:
    assert Agent(on_message=late).mode == "pipeline"
    engine = Agent(engine="any", on_message=late)
    assert (engine.mode, engine.on_message) == ("realtime", None)


def _generator(message: CallerMessage) -> Any:
    yield "a piece"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (17, "must be a function, a URL"),
        (Answerer, "must be a function, a URL"),
        (lambda: "no argument", "one argument"),
        (lambda one, two, three: "too many", "one argument"),
        (_generator, "async def"),
        ("ftp://agent.example.com/", "on_message"),
        ("", "on_message"),
    ],
)
def test_what_cannot_answer_is_refused(value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Agent(stt="fake", on_message=value)
