"""Barge-in in whole calls, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from patter import BargeInEvent, BargeInRecord, BargeInStrategy, Verdict, hookimpl
from patter.testing import Reply, fake_plugin

LONG = "Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."


class StopWords(BargeInStrategy):
    """The strategy of the tutorial."""

    def __init__(self, words: tuple[str, ...] = ("stop", "wait", "hold on")) -> None:
        self.words = words

    def evaluate(self, event: BargeInEvent) -> bool:
        return any(word in event.transcript.lower() for word in self.words)


class Plugin:
    """`StopWords` as a plugin."""

    @hookimpl
    def patter_register_barge_in(self) -> list[BargeInRecord]:
        return [BargeInRecord("stop-words", StopWords)]


class FakesWithoutVAD:
    """The fakes of a phone that has no VAD."""

    patter_register_stt = staticmethod(fake_plugin.patter_register_stt)
    patter_register_llm = staticmethod(fake_plugin.patter_register_llm)
    patter_register_tts = staticmethod(fake_plugin.patter_register_tts)
    patter_register_carrier = staticmethod(fake_plugin.patter_register_carrier)


def clears(call: Any) -> list[float]:
    return [(t - call.started_at) * 1000 for t in call.line.clears]


@pytest.mark.behaviour("BI-07")
@pytest.mark.parametrize("with_vad", [True, False])
async def test_in_mode_cancel_the_first_speech_stops_the_agent(
    simcall: Any, phone: Any, with_vad: bool
) -> None:
    """Without a VAD, what the STT hears of speech is its start."""
    if not with_vad:
        phone.plugins.unregister(fake_plugin)
        phone.register(FakesWithoutVAD())
    slow = Reply(LONG + " " + LONG, token_delay_s=0.2)
    options = {} if with_vad else {"vad": None, "stt": "fake-endpointing"}
    async with simcall(first_message="Hello.", replies=[slow, "Fine."], **options) as call:
        await call.agent_says("Hello.")
        await call.quiet(100)
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours are nine")
        assert call.scene.model.open_streams == 1
        await call.caller_says("I see", wait=False)
        await asyncio.sleep(0.1)
        sent = call.line.media_messages
        assert call.scene.model.open_streams == call.scene.voice.open_streams == 0
        await asyncio.sleep(0.4)
        assert call.line.media_messages == sent
        assert call.silent_after_ms < 100
        await call.agent_says("Fine.")

    assert len(clears(call)) == 1
    interrupted = next(entry for entry in call.transcript if entry.interrupted)
    assert interrupted.text.startswith("Our opening hours are")
    assert len(interrupted.text) < len(LONG)
    assert call.summary.metrics["interruptions"] == 1
    assert call.scene.model.requests[-1][-1].content == "I see"


async def test_no_media_of_the_turn_follows_the_clear(simcall: Any) -> None:
    async with simcall(first_message=LONG) as call:
        await call.agent_says("Our opening")
        await call.caller_says("Oh", understood="", duration_ms=200)
        sent = call.line.media_messages
        await call.quiet(3000)

    assert call.line.media_messages == sent
    assert len(clears(call)) == 1


@pytest.mark.parametrize(
    ("echo_cancellation", "from_ms", "interrupted"),
    [(False, 40, False), (False, 240, True), (True, 740, False), (True, 980, True)],
)
async def test_an_interruption_is_possible_only_once_the_gate_is_open(
    simcall: Any, echo_cancellation: bool, from_ms: int, interrupted: bool
) -> None:
    """A short noise before that is ignored."""
    async with simcall(first_message=LONG, echo_cancellation=echo_cancellation, min_silence_ms=100) as call:
        await asyncio.sleep(from_ms / 1000)
        await call.caller_says("-", understood="", duration_ms=60)
        await call.quiet(1000)

    assert (len(clears(call)) == 1) is interrupted
    assert (call.heard == LONG) is not interrupted
    assert call.summary.metrics["interruptions"] == int(interrupted)


async def test_a_noise_while_the_model_thinks_does_not_stop_the_reply(simcall: Any) -> None:
    async with simcall(replies=[Reply("Here is your answer.", delay_s=2.0)]) as call:
        await call.caller_says("What is it?")
        await asyncio.sleep(0.8)
        await call.caller_says("-", understood="", duration_ms=300)
        await call.agent_says("Here is your answer.")

    assert clears(call) == []
    assert call.summary.metrics["interruptions"] == 0
    assert len(call.scene.model.requests) == 1


async def test_the_caller_goes_on_before_the_agent_spoke_and_is_answered_once(simcall: Any) -> None:
    async with simcall(replies=[Reply("Too early.", delay_s=2.0), "A pizza, fine."]) as call:
        await call.caller_says("I want")
        await asyncio.sleep(0.6)
        await call.caller_says("a pizza")
        await call.agent_says("A pizza, fine.")

    assert call.heard == "A pizza, fine."
    assert call.scene.model.requests[-1][-1].content == "I want a pizza"
    assert [entry.text for entry in call.transcript] == ["I want a pizza", "A pizza, fine."]
    assert call.summary.metrics["interruptions"] == 0


@pytest.mark.behaviour("BI-09")
async def test_while_an_interruption_is_pending_the_agent_speaks_on_without_a_gap(
    simcall: Any, phone: Any
) -> None:
    phone.register(Plugin())
    slow = Reply(f"{LONG} {LONG} Or not?", token_delay_s=0.2)
    async with simcall(barge_in_strategies=["stop-words"], replies=[slow]) as call:
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours are nine")
        await call.caller_says("Hmm, well, I see now", wait=False)
        await asyncio.sleep(0.4)
        assert call.scene.model.open_streams == 1
        await call.agent_says("Or not?")
        agent = [line for line in call.timeline if line.who == "agent"]

    assert clears(call) == []
    assert max(later.start - line.end for line, later in itertools.pairwise(agent)) <= 0.040
    assert call.heard == f"{LONG} {LONG} Or not?"
    assert call.summary.metrics["interruptions"] == 0
    assert call.summary.metrics["backchannels"] == 1


async def test_a_strategy_registered_on_the_phone_confirms(simcall: Any, phone: Any) -> None:
    phone.register(Plugin())
    async with simcall(barge_in_strategies=["stop-words"], replies=[LONG, "Stopped."]) as call:
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours are")
        await call.caller_says("stop")
        assert call.silent_after_ms < 300
        await call.agent_says("Stopped.")

    assert len(clears(call)) == 1
    assert call.summary.metrics["interruptions"] == 1


async def test_a_strategy_by_reference_takes_settings_and_an_object_is_copied(
    simcall: Any, phone: Any
) -> None:
    phone.register(Plugin())
    for strategies in (["stop-words?words=basta,halt"], StopWords(("basta",))):
        async with simcall(first_message=LONG, barge_in_strategies=strategies) as call:
            await call.agent_says("Our opening")
            await call.caller_says("please stop")
            await call.agent_says("on every day")
            await call.caller_says("basta")
            await call.quiet(300)
        assert len(clears(call)) == 1


async def test_okay_does_not_interrupt_and_is_part_of_the_next_turn(simcall: Any, phone: Any) -> None:
    phone.register(Plugin())
    async with simcall(barge_in_strategies=["stop-words"], replies=[LONG, "Bye."]) as call:
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours are nine")
        await call.caller_says("okay")
        await call.agent_says("on Saturdays.")
        await call.quiet(1000)
        assert len(call.scene.model.requests) == 1
        await call.caller_says("Thank you")
        await call.agent_says("Bye.")

    assert call.scene.model.requests[-1][-1].content == "okay Thank you"
    assert [entry.text for entry in call.transcript if entry.backchannel] == ["okay"]
    assert call.summary.metrics["interruptions"] == 0


async def test_without_strategies_confirm_waits_for_words(simcall: Any) -> None:
    async with simcall(barge_in_mode="confirm", first_message=LONG, replies=["Fine."]) as call:
        await call.agent_says("Our opening hours")
        await call.caller_says("-", understood="", duration_ms=300)
        await call.agent_says("on every day")
        assert clears(call) == []
        await call.caller_says("I know")
        await call.agent_says("Fine.")

    assert len(clears(call)) == 1
    assert call.summary.metrics["interruptions"] == 1


async def test_a_strategy_that_rejects_judges_what_follows_anew(simcall: Any) -> None:
    class Judge(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> Verdict:
            if "stop" in event.transcript:
                return Verdict.CONFIRM
            return Verdict.REJECT if "huh" in event.transcript else Verdict.WAIT

    outcomes: list[Any] = []

    class Watch:
        @hookimpl
        def patter_barge_in(self, event: Any) -> None:
            outcomes.append(event.outcome)

    async with simcall(barge_in_strategies=[Judge()], first_message=LONG, replies=["Fine."]) as call:
        call.call.register(Watch())
        await call.agent_says("Our opening")
        await call.caller_says("uh huh")
        await call.caller_says("no stop")
        await call.agent_says("Fine.")

    assert outcomes[0] == "rejected"
    assert outcomes[-1] == "confirmed"
    assert len(clears(call)) == 1


@pytest.mark.behaviour("BI-11")
async def test_a_strategy_that_raises_counts_as_not_yet(
    simcall: Any, phone: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            raise LookupError("no such word")

    phone.register(Plugin())
    async with simcall(
        first_message=LONG, barge_in_strategies=[Broken(), "stop-words"], replies=["Stopped."]
    ) as call:
        await call.agent_says("Our opening")
        await call.caller_says("stop")
        assert call.silent_after_ms < 300
        await call.agent_says("Stopped.")

    assert "Broken" in caplog.text or "broken" in caplog.text


@pytest.mark.behaviour("BI-14")
async def test_a_strategy_is_told_every_moment_of_a_pending_interruption(simcall: Any) -> None:
    events: list[tuple[float, BargeInEvent]] = []

    class Note(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            events.append((asyncio.get_running_loop().time(), event))
            return False

    def noting() -> BargeInStrategy:
        return Note()

    async with simcall(first_message=LONG, barge_in_strategies=[BargeInRecord("note", noting)]) as call:
        await call.agent_says("Our opening")
        began = asyncio.get_running_loop().time()
        await call.caller_says("well I do see")
        await call.agent_says("on Saturdays.")

    kinds = [event.kind for _, event in events]
    assert kinds[0] == "speech_start"
    assert set(kinds) == {"speech_start", "speech_tick", "interim", "speech_end", "final"}
    ticks = [at for at, event in events if event.kind == "speech_tick"]
    assert {round((later - tick) * 1000) for tick, later in itertools.pairwise(ticks)} <= {100, 110}
    latest = ""
    for at, event in events:
        latest = event.transcript if event.kind in ("interim", "final") else latest
        assert event.transcript == latest
        assert event.is_final is (event.kind == "final")
        assert event.agent_speaking
        assert 0 <= event.speech_ms <= (at - began) * 1000
        assert 0 < event.agent_heard_ms <= (at - call.started_at) * 1000
    assert latest == "well I do see"


async def test_a_strategy_is_told_how_much_of_the_agent_was_heard_by_then(simcall: Any) -> None:
    heard: list[tuple[float, float]] = []

    class Note(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            heard.append((asyncio.get_running_loop().time(), event.agent_heard_ms))
            return False

    async with simcall(first_message=LONG, barge_in_strategies=[Note]) as call:
        await call.agent_says("Our opening")
        await call.caller_says("well I do see")
        await call.quiet(100)

    for at, told_ms in heard:
        assert told_ms == pytest.approx((at - call.started_at) * 1000, abs=60)


@pytest.mark.behaviour("BI-14")
async def test_a_strategy_that_must_be_awaited_is_refused(simcall: Any, phone: Any) -> None:
    class Late(BargeInStrategy):
        async def evaluate(self, event: BargeInEvent) -> bool:  # type: ignore[override]
            return True

    for strategy in (Late(), Late, BargeInRecord("late", Late)):
        async with simcall(first_message=LONG, barge_in_strategies=[strategy]) as call:
            assert call.refusal is not None


async def test_an_application_interrupts_the_agent(simcall: Any) -> None:
    async with simcall(first_message=LONG) as call:
        await call.agent_says("Our opening")
        call.call.interrupt()
        await call.quiet(500)
        call.call.say("Something else.")
        await call.agent_says("Something else.")

    assert len(clears(call)) == 1
    assert "on every day" not in call.heard


async def test_after_the_clear_of_a_greeting_little_of_it_is_heard_on_a_slow_line(simcall: Any) -> None:
    async with simcall(first_message=LONG * 5, echo_s=0.2) as call:
        await call.agent_says("nine to five")
        await call.caller_says("Yes", understood="")
        await call.quiet(1000)
        heard = len(call.heard)

    assert len(clears(call)) == 1
    entry = call.transcript[0]
    assert entry.interrupted
    assert abs(len(entry.text) - heard) <= len("Saturdays. ")
