"""Rows of the ledger about interruptions, fact by fact."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from patter.call.barge_in import BargeInSettings
from patter.call.outbox import Outbox
from patter.call.playout import Chunk
from patter.call.reply_meter import MeterSurroundings
from patter.call.session_state import SessionSettings, State
from patter.call.turn_meter import TurnMeter
from patter.call.types import BargeInOutcome
from patter.metrics import ProviderNames, Settings
from patter.providers.barge_in import BargeInEvent, BargeInStrategy
from patter.testing.machine_driver import MachineDriver, Replies
from patter.testing.virtual_loop import VirtualClock, run_virtual


class Stop(BargeInStrategy):
    """Confirms the word, and keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[BargeInEvent] = []
        self.resets = 0

    def evaluate(self, event: BargeInEvent) -> bool:
        self.asked.append(event)
        return "stop" in event.transcript

    def reset(self) -> None:
        self.resets += 1


def asked(
    mode: str = "cancel",
    *strategies: BargeInStrategy,
    turn_end: str = "vad",
    has_vad: bool = True,
    **options: object,
) -> MachineDriver:
    """A call in which the caller has asked something by 1.0 s; the reply is heard from 1.1 s on."""
    driver = MachineDriver(
        SessionSettings(turn_end=turn_end),
        barge_in=BargeInSettings(mode=mode, has_vad=has_vad),  # type: ignore[arg-type]
        strategies=strategies,
        **options,  # type: ignore[arg-type]
    )
    driver.begin()
    driver.speech(0.2, 0.9)
    driver.final(1.0, "tell me something")
    return driver


def outcomes(driver: MachineDriver) -> list[tuple[float, BargeInOutcome]]:
    return [(t, data) for t, data in driver.log.named("interruption") if isinstance(data, BargeInOutcome)]


@pytest.mark.behaviour("BI-01")
@pytest.mark.parametrize("mode", ["cancel", "confirm", "pause"])
def test_no_interruption_before_the_turns_first_audio_was_sent(mode: str) -> None:
    # however long ago the turn was dispatched
    slow = asked(mode, Stop(), replies=Replies(llm_s=7.0))
    for start in (2.0, 4.0, 6.0):
        slow.speech(start, start + 0.5)
        slow.interim(start + 0.3, "stop")
    slow.run(8.05)
    assert (slow.machine.interruptions, slow.log.clears, slow.log.cancelled) == (0, [], [])
    # although the gate was open in an earlier turn: this one's socket takes nothing
    second = asked(mode, Stop())
    second.run(6.0)
    assert second.machine.state is State.LISTENING
    second.socket_open = False
    second.final(6.6, "and now")
    second.speech(9.0, 9.5)
    second.interim(9.3, "stop")
    second.run(9.8)
    assert (second.machine.interruptions, second.log.clears, second.log.cancelled) == (0, [], [])
    second.socket_open = True
    second.speech(11.0, 11.5)
    second.interim(11.3, "stop")
    second.run(12.0)
    assert second.machine.interruptions == 1


@pytest.mark.behaviour("BI-01")
def test_a_send_that_raised_does_not_count() -> None:
    class Protocol:
        def media(self, payload: bytes) -> str:
            return "media"

        def mark(self, name: str) -> str:
            return name

        def clear(self) -> str:
            return "clear"

    class Broken:
        async def send_text(self, text: str) -> None:
            raise ConnectionError("reset by peer")

    driver = asked(replies=Replies(llm_s=0.1))
    driver.socket_open = False
    driver.run(1.5)

    async def send() -> list[Chunk]:
        sent: list[Chunk] = []
        clock = VirtualClock(asyncio.get_running_loop())
        outbox = Outbox(Broken(), Protocol(), clock, lambda chunk, t: sent.append(chunk))  # type: ignore[arg-type]
        for chunk in driver.machine.playout.step(driver.t):
            outbox.audio(chunk)
        with pytest.raises(ConnectionError):
            await outbox.run()
        return sent

    assert run_virtual(send()) == []
    driver.speech(2.5, 3.0)
    driver.run(3.5)
    assert driver.machine.state is State.THINKING
    assert (driver.machine.interruptions, driver.log.clears, driver.log.cancelled) == (0, [], [])


def latency_ms(call: MachineDriver, speech: tuple[float, float], then: tuple[float, float]) -> float | None:
    """The latency of the only turn, as a meter has it that was told of all speech."""
    surroundings = MeterSurroundings(
        now=lambda: 0.0,
        emit=lambda event, data: None,
        reference=lambda kind: "",
        settings=Settings,
        providers=ProviderNames,
        has_vad=True,
    )
    meter = TurnMeter(surroundings, lambda: 0)
    ((begun_at, start),) = call.log.started
    ((ended_at, report),) = call.log.named("turn_ended")
    ((final_at, _), *_) = call.log.named("transcript_final")
    ((sounds_at, _),) = call.log.named("agent_speech_started")
    events: list[tuple[float, Callable[[float], object]]] = [
        (speech[0], meter.caller.speech_started),
        (speech[1], meter.caller.speech_ended),
        (final_at, meter.caller.final),
        (begun_at, lambda t: meter.begun(start, t)),
        (sounds_at, meter.sounds),
        (then[0], meter.caller.speech_started),
        (then[1], meter.caller.speech_ended),
        (ended_at, lambda t: meter.observed("turn_ended", report, t)),
    ]
    for t, event in sorted(events, key=lambda one: one[0]):
        event(t)
    return meter.turns[0].latency_ms


@pytest.mark.behaviour("BI-06")
@pytest.mark.parametrize("mode", ["cancel", "confirm", "pause"])
def test_speech_between_the_first_audio_and_the_gate_is_ignored(mode: str) -> None:
    strategy = Stop()
    call = asked(mode, strategy)
    call.run(1.15)
    first_audio = call.log.sent[0][0]
    call.speech(1.15, 1.3)
    call.run(1.34)
    assert not call.machine.barge_in.pending
    call.final(1.8, "stop")
    call.run(7.0)
    # no clear and no pending state, and no strategy was asked
    assert (call.log.clears, outcomes(call), strategy.asked) == ([], [], [])
    # its final is a backchannel: it starts no turn, is in the transcript, and joins the next user turn
    assert call.machine.backchannels == 1
    assert [line.text for line in call.machine.conversation.transcript if line.backchannel] == ["stop"]
    assert [role for role, _ in call.roles] == ["user", "assistant"]
    # no anchor of a metric was touched: the turn began at 0.2 s, its speech ended at 0.9 s
    assert latency_ms(call, speech=(0.2, 0.9), then=(1.15, 1.3)) == pytest.approx((first_audio - 0.9) * 1000)
    assert call.machine.conversation.transcript[0].heard_ms == pytest.approx(200)
    call.speech(8.0, 8.4)
    call.final(8.5, "what else")
    call.run(9.0)
    assert call.roles[2] == ("user", "stop what else")


@pytest.mark.behaviour("BI-06")
@pytest.mark.parametrize(("mode", "cleared"), [("cancel", True), ("confirm", False), ("pause", True)])
def test_speech_that_goes_on_when_the_gate_opens_starts_there(mode: str, cleared: bool) -> None:
    strategy = Stop()
    call = asked(mode, *([] if mode == "cancel" else [strategy]))
    call.run(1.15)
    gate = call.log.sent[0][0] + 0.25
    call.speech(1.15, 2.5)
    call.interim(2.0, "stop it")
    call.run(3.0)
    assert call.log.clears[0] == pytest.approx(gate if cleared else 2.0, abs=0.011)
    ((t, outcome),) = outcomes(call)
    # the overlap is stamped where the gate opened
    assert t - outcome.detection_delay_ms / 1000 == pytest.approx(gate, abs=0.011)
    if mode != "cancel":
        assert strategy.asked[0].kind == "speech_start"


@pytest.mark.behaviour("BI-13")
def test_an_unconfirmed_interruption_is_dropped_after_1500_ms_of_silence() -> None:
    assert BargeInSettings().confirm_s == 1.5
    strategies = [Stop(), Stop()]
    call = asked("confirm", *strategies, turn_end="stt", replies=Replies(sentence_s=6.0))
    call.speech(2.0, 2.4)
    call.run(14.0)
    ((t, dropped),) = outcomes(call)
    assert t == pytest.approx(2.4 + 1.5, abs=0.02)
    assert dropped.outcome == "unconfirmed"
    # the agent has finished its turn, and nothing counts as an interruption
    assert (call.machine.interruptions, call.log.clears) == (0, [])
    assert call.log.sent_ms() == 12_000
    # reset at the end of the pending state and of the agent's turn
    assert [strategy.resets for strategy in strategies] == [2, 2]


@pytest.mark.behaviour("BI-13")
def test_the_time_runs_while_nobody_speaks_and_no_transcript_is_outstanding() -> None:
    # a stop sentence of 1.3 s whose only transcript comes 0.5 s after its end
    call = asked("confirm", Stop(), replies=Replies(sentence_s=6.0))
    call.speech(2.0, 3.3)
    call.final(3.8, "oh please stop that")
    call.run(6.0)
    assert call.log.clears == [pytest.approx(3.8)]
    # the caller goes on after a pause: only silence counts
    call = asked("confirm", Stop(), turn_end="stt", replies=Replies(sentence_s=6.0))
    call.speech(2.0, 2.4)
    call.speech(3.5, 4.0)
    call.run(9.0)
    assert outcomes(call)[0][0] == pytest.approx(4.0 + 1.5, abs=0.02)
    # the transcript that was asked for at the end of the speech takes its time
    call = asked("confirm", Stop(), turn_end="vad", replies=Replies(sentence_s=6.0))
    call.speech(2.0, 2.4)
    call.final(4.6, "stop")
    call.run(5.0)
    assert [outcome.outcome for _, outcome in outcomes(call)] == ["confirmed"]
    # and in any case it ends after 6 s
    call = asked("confirm", Stop(), replies=Replies(sentence_s=9.0))
    call.speech(2.0, 12.0)
    call.run(9.0)
    assert outcomes(call)[0][0] == pytest.approx(8.0, abs=0.02)


@pytest.mark.behaviour("BI-13")
def test_in_pause_the_time_runs_from_the_speech_start() -> None:
    call = asked("pause", Stop(), replies=Replies(sentence_s=6.0))
    call.speech(2.0, 5.0)
    call.run(5.5)
    assert outcomes(call)[0][0] == pytest.approx(2.0 + 1.5, abs=0.02)
    assert call.machine.interruptions == 0


@pytest.mark.behaviour("BI-13")
def test_without_a_vad_the_caller_is_silent_400_ms_after_the_last_interim() -> None:
    call = asked("confirm", Stop(), turn_end="stt", has_vad=False, replies=Replies(sentence_s=9.0))
    for t in (2.0, 2.3, 2.6, 2.9):
        call.interim(t, "well well")
    call.run(9.0)
    ((t, dropped),) = outcomes(call)
    assert t == pytest.approx(2.9 + 0.4 + 1.5, abs=0.02)
    assert dropped.outcome == "unconfirmed"


@pytest.mark.behaviour("BI-17")
@pytest.mark.parametrize("ending", ["caller_hangs_up", "drop_connection", "hangup"])
async def test_nothing_of_a_pending_interruption_outlives_the_call(simcall: Any, ending: str) -> None:
    asked: list[str] = []

    class Never(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            asked.append(event.kind)
            return False

    decided: list[object] = []
    long = "Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."
    async with simcall(first_message=long, barge_in_strategies=Never()) as call:
        call.call.on("interruption", decided.append)
        await call.agent_says("Our opening hours")
        await call.caller_says("well", understood="", duration_ms=300)
        assert asked[0] == "speech_start", "it is pending"
        call_id = call.call.id
        await getattr(call.call if ending == "hangup" else call, ending)()
        await call.ended()
        # what the state was waiting for comes and goes
        await asyncio.sleep(3.0)
        assert [task.get_name() for task in asyncio.all_tasks() if call_id in task.get_name()] == []
    assert decided == []
    assert call.summary.metrics["interruptions"] == 0
    assert call.summary.leaks == ()
