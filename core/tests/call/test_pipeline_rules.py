"""How pipeline hooks are called: what is refused, what a failure, a delay and a cancellation do (TN-15)."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from typing import Any

import pytest

from patter import Agent, ConfigError, PipelineContext, PipelineHooks
from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.call.pipeline import LOG_EVERY, CallPipeline
from patter.call.stt_feed import STTFeed
from patter.pipeline_hooks import PLAIN_HOOKS, TEXT_HOOKS
from patter.providers.llm import Message
from patter.testing.virtual_loop import run_virtual

CONTEXT = PipelineContext("call_1", stt_format=PCM16_16K, carrier_format=MULAW_8K)


# -- how they are called


@pytest.mark.behaviour("TN-15")
@pytest.mark.parametrize("name", PLAIN_HOOKS)
def test_what_stands_in_a_task_that_cannot_wait_must_be_plain(name: str) -> None:
    async def waits(value: Any, context: PipelineContext) -> Any:
        return value

    class Callable:
        async def __call__(self, value: Any, context: PipelineContext) -> Any:
            return value

    async def method(self: Any, value: Any, context: PipelineContext) -> Any:
        return value

    by_method: type[PipelineHooks] = type("ByMethod", (PipelineHooks,), {name: method})
    for function in (waits, functools.partial(waits), Callable()):
        hooks = PipelineHooks()
        setattr(hooks, name, function)
        with pytest.raises(ConfigError, match=f"{name} must be a plain function"):
            Agent(pipeline=hooks)
    with pytest.raises(
        ConfigError, match=f"pipeline.*{name} must be a plain function.*use def, not async def"
    ):
        Agent(pipeline=by_method())


@pytest.mark.behaviour("TN-15")
def test_the_others_may_wait_and_nothing_but_pipeline_hooks_is_taken() -> None:
    async def method(self: Any, value: Any, context: PipelineContext) -> Any:
        return value

    hooks = type("Async", (PipelineHooks,), dict.fromkeys(TEXT_HOOKS, method))()
    assert Agent(pipeline=hooks).pipeline is hooks
    with pytest.raises(ConfigError, match="pipeline"):
        Agent(pipeline=object())
    hooks = PipelineHooks()
    hooks.on_sentence = "no function"  # type: ignore[assignment,method-assign]
    with pytest.raises(ConfigError, match="on_sentence is no function"):
        Agent(pipeline=hooks)


@pytest.mark.behaviour("TN-15")
def test_what_is_not_defined_is_not_there() -> None:
    class One(PipelineHooks):
        def on_chunk(self, text: str, context: PipelineContext) -> str | None:
            return text

    class Other(One):
        pass

    for hooks, defined in ((None, set()), (PipelineHooks(), set()), (Other(), {"on_chunk"})):
        pipeline = CallPipeline(hooks, CONTEXT)
        assert {
            name for name in (*PLAIN_HOOKS, *TEXT_HOOKS) if getattr(pipeline, name) is not None
        } == defined
        feed = STTFeed(PCM16_16K)
        assert pipeline.before_stt(feed) is feed


@pytest.mark.behaviour("TN-15")
async def test_methods_are_looked_up_once_per_call(simcall: Any) -> None:
    looked_up: Counter[str] = Counter()

    class Watched(PipelineHooks):
        def __getattribute__(self, name: str) -> Any:
            looked_up[name] += 1
            return super().__getattribute__(name)

        def before_send_to_stt(self, audio: bytes, context: PipelineContext) -> bytes | None:
            return audio

        def on_sentence(self, text: str, context: PipelineContext) -> str:
            return text

    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", pipeline=Watched(), first_message="Hello.")
    async with simcall(agent) as call:
        await call.agent_says("Hello.")
        before = dict(looked_up)
        for _ in range(3):
            await call.caller_says("And another question, please?")
            await call.agent_says("You said")
            await call.quiet(300)
        assert looked_up == before
    once = dict(looked_up)
    async with simcall(agent) as call:
        await call.agent_says("Hello.")
    assert {name: looked_up[name] - once[name] for name in (*PLAIN_HOOKS, *TEXT_HOOKS)} == dict.fromkeys(
        (*PLAIN_HOOKS, *TEXT_HOOKS), 1
    )


@pytest.mark.behaviour("TN-15")
async def test_each_gets_the_context_of_its_call(simcall: Any) -> None:
    seen: dict[str, set[tuple[str, str, str]]] = {}
    histories: list[list[str]] = []

    def noting(name: str) -> Any:
        def hook(self: Any, value: Any, context: PipelineContext) -> Any:
            seen.setdefault(name, set()).add((context.call_id, context.caller, context.callee))
            if name == "before_llm":
                histories.append([one.content for one in context.history])
            return value

        return hook

    names = (*PLAIN_HOOKS, *TEXT_HOOKS)
    hooks = type("Notes", (PipelineHooks,), {name: noting(name) for name in names})()
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", pipeline=hooks)
    async with (
        simcall(agent, caller="+15550000001") as one,
        simcall(agent, caller="+15550000002", callee="+15550000009") as other,
    ):
        await one.caller_says("First call?")
        await one.agent_says("First call?")
        await one.quiet(300)
        await one.caller_says("Still there?")
        await one.agent_says("Still there?")
        await other.caller_says("Second call?")
        await other.agent_says("Second call?")
        expected = {
            (one.call.id, "+15550000001", one.call.callee),
            (other.call.id, "+15550000002", "+15550000009"),
        }
    assert seen == dict.fromkeys(names, expected)
    first = ["First call?", "You said: First call?", "Still there?"]
    assert histories == [first[:1], first, ["Second call?"]]


@pytest.mark.behaviour("TN-15")
@pytest.mark.parametrize(
    ("name", "waits"),
    [*((name, False) for name in (*PLAIN_HOOKS, *TEXT_HOOKS)), *((name, True) for name in TEXT_HOOKS)],
)
async def test_one_that_raises_is_logged_and_the_call_goes_on(
    simcall: Any, caplog: pytest.LogCaptureFixture, name: str, waits: bool
) -> None:
    def fails(self: Any, value: Any, context: PipelineContext) -> Any:
        if isinstance(value, list):
            value.clear()  # half-way through its work
        raise LookupError("no such thing")

    async def fails_later(self: Any, value: Any, context: PipelineContext) -> Any:
        await asyncio.sleep(0)
        fails(self, value, context)

    hooks = type("Fails", (PipelineHooks,), {name: fails_later if waits else fails})()
    with caplog.at_level(logging.WARNING, logger="patter"):
        async with simcall(pipeline=hooks, system_prompt="Hi.", disable_phone_preamble=True) as call:
            await call.caller_says("Can you hear me?")
            await call.agent_says("You said: Can you hear me?")
            await call.quiet(500)
    (messages,) = call.scene.model.requests
    assert [one.content for one in messages] == ["Hi.", "Can you hear me?"]
    assert [entry.text for entry in call.transcript] == ["Can you hear me?", "You said: Can you hear me?"]
    assert call.failures == []
    logged = [one for one in caplog.records if "pipeline hook" in one.getMessage()]
    assert logged
    for record in logged:
        assert f"call {call.call.id}: pipeline hook {name} failed" in record.getMessage()
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], LookupError)
    assert len(logged) < 5, "a hook that fails for each frame must not fill the log"


# -- what they return


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("before_send_to_stt", b"\x00\x00", b"\x00"),
        ("before_send_to_stt", b"\x00\x00", [0]),
        ("on_chunk", "text", 5),
        ("after_synthesize", b"\xff", bytearray(b"\xff")),
        ("after_transcribe", "text", b"text"),
        ("before_llm", [Message("user", "hi")], ["hi"]),
        ("before_llm", [Message("user", "hi")], []),
        ("before_llm", [Message("user", "hi")], "hi"),
        ("on_sentence", "text", True),
        ("before_synthesize", "text", 1.5),
    ],
)
def test_what_cannot_go_on_counts_as_failed(
    caplog: pytest.LogCaptureFixture, name: str, value: Any, wrong: Any
) -> None:
    hooks = PipelineHooks()
    setattr(hooks, name, lambda value, context: wrong)
    touch = getattr(CallPipeline(hooks, CONTEXT), name)
    assert (run_virtual(touch(value)) if name in TEXT_HOOKS else touch(value)) == value
    (record,) = caplog.records
    assert f"pipeline hook {name} failed" in record.getMessage()


def test_a_coroutine_from_a_plain_function_counts_as_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> str:
        return "never"

    hooks = PipelineHooks()
    hooks.on_chunk = lambda text, context: later()  # type: ignore[assignment,method-assign,return-value]
    pipeline = CallPipeline(hooks, CONTEXT)
    assert pipeline.on_chunk is not None
    assert pipeline.on_chunk("text") == "text"
    assert "a coroutine" in str(caplog.records[0].exc_info)


def test_the_log_of_a_hook_that_fails_for_each_frame_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    hooks = PipelineHooks()
    hooks.before_send_to_stt = lambda audio, context: 1 // 0  # type: ignore[assignment,method-assign,return-value]
    pipeline = CallPipeline(hooks, CONTEXT)
    assert pipeline.before_send_to_stt is not None
    for _ in range(2 * LOG_EVERY):
        assert pipeline.before_send_to_stt(b"\x00\x00") == b"\x00\x00"
    assert [
        f"({count} failures so far)" in one.getMessage()
        for one, count in zip(caplog.records, (1, 1001), strict=True)
    ]


# -- time and cancellation


@pytest.mark.behaviour("TN-15")
async def test_one_that_takes_too_long_counts_as_failed(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Hangs(PipelineHooks):
        async def before_llm(self, messages: list[Message], context: PipelineContext) -> None:
            await asyncio.sleep(3600)

    async with simcall(pipeline=Hangs()) as call:
        await call.caller_says("Hello?")
        with pytest.raises(AssertionError):
            await call.agent_says("You said", within_s=5)
        await call.agent_says("You said: Hello?", within_s=3)
    (record,) = [one for one in caplog.records if "pipeline hook" in one.getMessage()]
    assert "before_llm failed" in record.getMessage()
    assert "TimeoutError" in record.getMessage()


@pytest.mark.behaviour("TN-15")
async def test_a_newer_final_cancels_the_hooks_at_work(simcall: Any) -> None:
    class Slow(PipelineHooks):
        log: list[str]

        async def after_transcribe(self, text: str, context: PipelineContext) -> str:
            self.log.append(text)
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                self.log.append("cancelled")
                raise
            return f"{text}!"

    hooks = Slow()
    hooks.log = []
    async with simcall(pipeline=hooks) as call:
        await call.caller_says("I want")
        await asyncio.sleep(0.6)
        await call.caller_says("a pizza")
        await call.agent_says("You said: I want a pizza!")
    assert hooks.log == ["I want", "cancelled", "I want a pizza"]
    assert len(call.scene.model.requests) == 1
    assert call.transcript[0].text == "I want a pizza!"


@pytest.mark.behaviour("TN-15")
@pytest.mark.parametrize("name", [*PLAIN_HOOKS, *TEXT_HOOKS])
def test_a_cancellation_is_not_swallowed(name: str, caplog: pytest.LogCaptureFixture) -> None:
    def cancelled(value: Any, context: PipelineContext) -> Any:
        raise asyncio.CancelledError

    hooks = PipelineHooks()
    setattr(hooks, name, cancelled)
    touch = getattr(CallPipeline(hooks, CONTEXT), name)
    with pytest.raises(asyncio.CancelledError):
        run_virtual(touch([Message("user", "hi")]))
    assert caplog.records == []
