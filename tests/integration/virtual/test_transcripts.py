"""From the caller's words to the turn, in whole calls: at once, whatever else goes on, and none of them lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from patter import BargeInEvent, BargeInStrategy, STTRecord, hookimpl
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.providers.stt import STT, Final, Interim, STTEvent
from patter.testing import Reply, VoiceFault

LONG = "Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."
MODES = ("cancel", "confirm", "pause")


def now() -> float:
    return asyncio.get_running_loop().time()


class PromptedSTT(STT):
    """Says what a test tells it to say, and notes what has happened when core asks for the next event.

    Core takes a step from `yield` to the next event; `after` is looked at within it, before the loop turns.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.events: asyncio.Queue[STTEvent | None] = asyncio.Queue()
        self.after: Any = lambda: None
        self.seen: list[Any] = []

    def input_formats(self) -> Sequence[AudioFormat]:
        return (MULAW_8K,)

    async def connect(self, audio_format: AudioFormat) -> None:
        return None

    def send_audio(self, chunk: bytes) -> None:
        self.frames.append((now(), chunk))

    async def receive(self) -> AsyncIterator[STTEvent]:
        while (event := await self.events.get()) is not None:
            turned = False

            def turn() -> None:
                nonlocal turned
                turned = True

            asyncio.get_running_loop().call_soon(turn)
            yield event
            self.seen.append((turned, self.after()))

    async def close(self) -> None:
        self.events.put_nowait(None)

    def say(self, event: STTEvent) -> None:
        self.events.put_nowait(event)


def prompted(stt: PromptedSTT) -> dict[str, Any]:
    """Options of an agent that hears with it alone."""
    return {"stt": STTRecord("prompted", lambda: stt, endpoints=True), "turn_end": "stt"}


class Requests:
    """A scripted reply that notes when it was asked for."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.asked: list[str] = []

    def __call__(self, messages: Any) -> Reply:
        self.at.append(now())
        self.asked.append(messages[-1].content)
        return Reply("Yes, certainly.")


@pytest.mark.behaviour("TN-01")
async def test_a_final_changes_the_turn_in_the_step_in_which_it_comes(simcall: Any) -> None:
    """The state before the loop turns again, the request and the first audio in the same instant."""
    stt, requests = PromptedSTT(), Requests()
    async with simcall(replies=[requests], **prompted(stt)) as call:
        stt.after = lambda: (call.call.agent_state, [one.text for one in call.call.transcript])
        sent: list[float] = []
        call.call.on("agent_speech_started", lambda _: sent.append(now()))
        await asyncio.sleep(1.2345)
        assert call.call.agent_state == "listening"
        said_at = now()
        stt.say(Final("Are you open?"))
        await call.agent_says("Yes, certainly")

    assert stt.seen == [(False, ("thinking", ["Are you open?"]))]
    assert requests.at == [said_at]
    assert sent == [said_at]
    assert call.scene.voice.spoken == ["Yes, certainly."]


class SlowHooks:
    """Hooks of a turn that take their time; they note where they run, and whether they were cancelled."""

    def __init__(self, turn_s: float, request_s: float) -> None:
        self._turn_s = turn_s
        self._request_s = request_s
        self.tasks: list[str] = []
        self.ended: list[str] = []

    @hookimpl
    async def patter_modify_user_turn(self, call: Any, turn: Any) -> None:
        await self._take(self._turn_s, turn.text)

    @hookimpl
    async def patter_modify_request(self, call: Any, request: Any) -> None:
        await self._take(self._request_s, "request")

    async def _take(self, seconds: float, what: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task.get_name().rpartition(" ")[0].rpartition(" ")[2])
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.ended.append(f"{what}: cancelled")
            raise
        self.ended.append(what)


@pytest.mark.behaviour("TN-01")
async def test_hooks_add_their_own_time_and_nothing_else(simcall: Any, phone: Any) -> None:
    hooks = phone.register(SlowHooks(0.3, 0.17))
    stt, requests = PromptedSTT(), Requests()
    async with simcall(replies=[requests], **prompted(stt)) as call:
        await asyncio.sleep(1)
        stt.after = lambda: call.call.agent_state
        said_at = now()
        stt.say(Final("Are you open?"))
        await call.agent_says("Yes, certainly")

    assert requests.at == [pytest.approx(said_at + 0.47, abs=1e-6)]
    assert stt.seen == [(False, "thinking")]
    assert hooks.tasks == ["reply", "reply"]


@pytest.mark.behaviour("TN-01")
@pytest.mark.parametrize("after_s", [0.1, 0.4])
async def test_a_newer_final_cancels_the_hooks_and_is_not_held_up_by_them(
    simcall: Any, phone: Any, after_s: float
) -> None:
    """In the hook of the turn, and in that of the request."""
    hooks = phone.register(SlowHooks(0.3, 0.3))
    stt, requests = PromptedSTT(), Requests()
    heard: list[tuple[float, str]] = []
    async with simcall(replies=[requests], **prompted(stt)) as call:
        call.call.on("transcript_final", lambda text: heard.append((now(), text)))
        await asyncio.sleep(1)
        said_at = now()
        stt.say(Final("I want"))
        await asyncio.sleep(after_s)
        stt.say(Final("a pizza"))
        await call.agent_says("Yes, certainly")

    assert heard == [(said_at, "I want"), (said_at + after_s, "a pizza")]
    assert requests.at == [pytest.approx(said_at + after_s + 0.6, abs=1e-6)]
    assert requests.asked == ["I want a pizza"]
    first = ["I want: cancelled"] if after_s < 0.3 else ["I want", "request: cancelled"]
    assert hooks.ended == [*first, "I want a pizza", "request"]


class Never(BargeInStrategy):
    def evaluate(self, event: BargeInEvent) -> bool:
        return False


@pytest.mark.behaviour("TN-07")
@pytest.mark.parametrize("busy", ["model", "voice", "hook", "speech"])
async def test_the_reader_of_transcripts_waits_for_no_turn(simcall: Any, phone: Any, busy: str) -> None:
    """A turn of 5 s in which the model, the voice or a hook is slow, or in which the agent just speaks."""
    hooks = phone.register(SlowHooks(0.45, 0.0)) if busy == "hook" else None
    text = "x" * 83 + "."  # 5 s of speech
    replies = [Reply(text, delay_s=5.0 if busy == "model" else 0.0)]
    stt, events = PromptedSTT(), list[tuple[float, str]]()
    call = simcall(replies=replies, barge_in_mode="confirm", barge_in_strategies=[Never()], **prompted(stt))
    if busy == "voice":
        call.scene.voice.faults.append(VoiceFault(delay_s=4.5))
    async with call:
        call.call.on("transcript_partial", lambda one: events.append((now(), one)))
        call.call.on("transcript_final", lambda one: events.append((now(), one)))
        await asyncio.sleep(1)
        stt.say(Final("Tell me all"))
        await asyncio.sleep(0.05)
        said = [(now() - 0.05, "Tell me all")]
        for number in range(12):
            stt.say(Interim(f"word {number}"))
            said.append((now(), f"word {number}"))
            if number == 8:
                stt.say(Final("okay"))
                said.append((now(), "okay"))
            await asyncio.sleep(0.4)
        await call.quiet(1000, within_s=60)

    assert events == said
    assert [turned for turned, _ in stt.seen] == [False] * len(said)
    if hooks is not None:
        assert hooks.ended


@pytest.mark.behaviour("TN-11")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("after_ms", [0, 20, 60, 300])
async def test_what_the_caller_says_right_after_the_agent_reaches_the_stt_at_once_and_complete(
    simcall: Any, mode: str, after_ms: int
) -> None:
    """Each frame in the instant in which the carrier brings it, from before the end of playout until after it."""
    stt = PromptedSTT()
    async with simcall(first_message="Hello, this is Acme.", barge_in_mode=mode, **prompted(stt)) as call:
        brought: list[float] = []
        send = call.line.send_raw

        def noting(text: str) -> None:
            if '"media"' in text:  # and no mark
                brought.append(now())
            send(text)

        call.line.send_raw = noting
        already = len(stt.frames)
        await asyncio.sleep(0.5)
        # The greeting lasts 20 characters of 60 ms.
        await asyncio.sleep(0.7 + after_ms / 1000)
        began = now()
        await call.caller_says("Good morning to you", duration_ms=1000)
        await asyncio.sleep(0.205)
        assert [at for at, _ in stt.frames[already:]] == brought

    speech = [at for at, chunk in stt.frames if at > began and chunk.strip(b"\xff")]
    assert len(speech) == 50
    assert speech[0] - began <= 0.041
    assert speech[-1] - speech[0] == pytest.approx(49 * 0.02, abs=1e-6)
    assert len(call.line.clears) == 0


class StopWord(BargeInStrategy):
    def evaluate(self, event: BargeInEvent) -> bool:
        return "stop" in event.transcript


@pytest.mark.behaviour("TN-11")
@pytest.mark.parametrize("mode", ["confirm", "pause"])
@pytest.mark.parametrize("before_end_ms", [950, 700, 400, 100])
@pytest.mark.parametrize("text", ["okay", "okay then let me see"])
async def test_what_begins_in_the_last_second_of_playout_is_in_the_next_turn(
    simcall: Any, mode: str, before_end_ms: int, text: str
) -> None:
    """Also where it ends after the agent, and where its final comes after that."""
    async with simcall(
        first_message=LONG, barge_in_mode=mode, barge_in_strategies=[StopWord()], replies=["Fine.", "Sure."]
    ) as call:
        await asyncio.sleep((len(LONG) * 60 - before_end_ms) / 1000)
        await call.caller_says(text)
        await call.quiet(2500)
        await call.caller_says("And on Sundays")
        await call.quiet(1000)

    assert call.summary.metrics["interruptions"] == 0
    (greeting,) = (entry for entry in call.transcript if entry.text == LONG)
    assert not greeting.interrupted
    answered = [message.content for message in call.summary.history if message.role == "user"]
    assert " ".join(answered) == f"{text} And on Sundays"
    asked = [messages[-1].content for messages in call.scene.model.requests]
    assert asked == answered


@pytest.mark.behaviour("TN-11")
@pytest.mark.parametrize("before_end_ms", [20, 40, 60, 150, 220])
async def test_in_mode_cancel_what_begins_before_an_interruption_is_possible_is_in_the_next_turn(
    simcall: Any, before_end_ms: int
) -> None:
    """An answer of 240 ms is over before its gate opens; all of it lies in the last second."""
    async with simcall(replies=["Yes.", "Fine."], barge_in_mode="cancel") as call:
        await call.caller_says("Are you there")
        while call.call.agent_state != "speaking":
            await asyncio.sleep(0.005)
        await asyncio.sleep((240 - before_end_ms) / 1000)
        await call.caller_says("And on Sundays")
        await call.agent_says("Fine.")

    assert call.heard == "Yes. Fine."
    assert call.line.clears == []
    assert call.summary.metrics["interruptions"] == 0
    answered = [message.content for message in call.summary.history if message.role == "user"]
    assert answered == ["Are you there", "And on Sundays"]
