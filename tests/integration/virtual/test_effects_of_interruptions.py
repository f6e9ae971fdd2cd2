"""Whoever stops the agent, the effects are the same, and the carrier is left with next to nothing to play.

BI-22 for pipelines; engines are interrupted in core/tests/realtime.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import BargeInEvent, BargeInStrategy
from patter.call.types import BargeInOutcome
from patter.providers.stt import Final
from patter.testing import Reply

SENTENCE = "This sentence takes two and a half seconds. "
#: a reply of 160 s
VERY_LONG = SENTENCE * 61
#: what may be left in the carrier's buffer after a clear, in ms
LEFT_MS = 200
MODES = ("cancel", "confirm", "pause")


def now() -> float:
    return asyncio.get_running_loop().time()


class StopWord(BargeInStrategy):
    def evaluate(self, event: BargeInEvent) -> bool:
        return "stop" in event.transcript


TRIGGERS: dict[str, dict[str, Any]] = {
    "vad": {"barge_in_mode": "cancel"},
    "strategy on an interim": {"barge_in_mode": "confirm", "barge_in_strategies": [StopWord()]},
    "final": {"barge_in_mode": "confirm"},
    "strategy after a pause": {"barge_in_mode": "pause", "barge_in_strategies": [StopWord()]},
    "application": {"barge_in_mode": "confirm", "barge_in_strategies": [StopWord()]},
    "application while one is pending": {"barge_in_mode": "confirm", "barge_in_strategies": [StopWord()]},
    "application while one has paused": {"barge_in_mode": "pause", "barge_in_strategies": [StopWord()]},
}


@pytest.mark.behaviour("BI-22")
@pytest.mark.parametrize("trigger", sorted(TRIGGERS))
async def test_each_effect_of_an_interruption_comes_once_whatever_triggers_it(
    simcall: Any, trigger: str
) -> None:
    """BI-22: clear, marks resolved, voice and model stopped, `agent_speech_ended`, what is told of the overlap."""
    reply = Reply(VERY_LONG, token_delay_s=0.05)
    ended: list[tuple[float, int]] = []
    outcomes: list[tuple[float, BargeInOutcome]] = []
    echo_s = 0.3  # so that marks are under way when it happens
    replies = [reply, Reply("Yes?", delay_s=10.0)]
    async with simcall(replies=replies, echo_s=echo_s, **TRIGGERS[trigger]) as call:
        call.call.on("agent_speech_ended", lambda turn: ended.append((now(), turn)))
        call.call.on("interruption", lambda outcome: outcomes.append((now(), outcome)))
        await call.caller_says("Tell me all")
        await call.agent_says("This sentence takes two")
        assert call.scene.model.open_streams == 1
        assert (ended, outcomes) == ([], [])
        marks = call.line.marks_received
        onset = now()
        if trigger == "application":
            call.call.interrupt()
        elif trigger.startswith("application"):
            await call.caller_says("well", wait=False)
            await asyncio.sleep(0.2)
            call.call.interrupt()
        else:
            await call.caller_says("please stop", wait=False)
        while not ended:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.005)
        # in the same instant, but for the tasks' own steps
        assert call.scene.voice.open_streams == 0
        # but for the one that answers a final that interrupted
        assert call.scene.model.open_streams == len(call.scene.model.requests) - 1 == int(trigger == "final")
        assert call.call.agent_state != "speaking"
        sent, stopped_marks = call.line.media_messages, call.line.marks_received
        stopped_at = ended[0][0]
        # Marks that come back now count for nothing: the heard position, and so the text, stands still.
        (cut,) = (one for one in call.call.transcript if one.interrupted)
        await asyncio.sleep(0.3)
        assert cut in call.call.transcript
        assert call.line.media_messages == sent
        assert call.line.marks_received == stopped_marks >= marks
        await call.caller_hangs_up()

    assert len(ended) == 1
    assert len(call.line.clears) == 1
    confirmed = [(t, one) for t, one in outcomes if one.outcome == "confirmed"]
    assert len(outcomes) == len(confirmed) == 1
    ((told_at, outcome),) = confirmed
    assert told_at == stopped_at
    assert outcome.turn == ended[0][1]
    assert outcome.requested is trigger.startswith("application")
    delay_s = outcome.detection_delay_ms / 1000
    assert 0 <= delay_s <= stopped_at - onset + 0.001
    assert call.summary.metrics["interruptions"] == 1
    assert call.summary.metrics["backchannels"] == 0
    assert [one for one in call.transcript if one.interrupted] == [cut]
    assert SENTENCE.startswith(cut.text)
    assert abs(len(cut.text.split()) - len(call.heard.split())) <= 1
    # In mode `pause` the one clear came when the caller began.
    if TRIGGERS[trigger]["barge_in_mode"] != "pause":
        assert call.line.clears == [pytest.approx(stopped_at, abs=1e-6)]


def left_ms(call: Any, since: float) -> float:
    """How long the caller still hears the agent after that."""
    return call.silent_after_ms - (since - call._said[-1].start) * 1000


@pytest.mark.behaviour("BI-23")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sentences", [1, 5, 22])
@pytest.mark.parametrize("echo_s", [0.0, 0.4])
@pytest.mark.parametrize("beforehand", [False, True], ids=["live", "made beforehand"])
async def test_an_interrupted_greeting_leaves_next_to_nothing_in_the_carrier(
    simcall: Any, mode: str, sentences: int, echo_s: float, beforehand: bool
) -> None:
    """Whatever its length. Bytes that the carrier has, and what of them would be heard without the clear."""
    greeting = SENTENCE * sentences
    options = {"first_message": greeting, "barge_in_mode": mode, "prewarm_first_message": beforehand}
    async with simcall(**options, echo_s=echo_s, ring_s=5.0) as call:
        made = len(call.scene.voice.spoken)
        assert (made > 0) == beforehand
        in_carrier: list[float] = []
        clear = call.line._clear

        def noting() -> None:
            in_carrier.append(max(0.0, call.line._plays_until - now()) * 1000)
            clear()

        call.line._clear = noting
        await asyncio.sleep(1.0)
        await call.caller_says("please stop", wait=False)
        while not call.call.transcript or call.call.agent_state == "speaking":
            await asyncio.sleep(0.005)
        stopped_at = now()
        await asyncio.sleep(1.0)
        assert left_ms(call, stopped_at) <= LEFT_MS

    assert len(in_carrier) == 1
    assert in_carrier[0] <= LEFT_MS
    if beforehand:
        assert SENTENCE.strip() not in call.scene.voice.spoken[made:]
    (entry,) = (one for one in call.transcript if one.role == "assistant" and one.interrupted)
    assert greeting.startswith(entry.text)
    assert len(call.heard.partition(" You said")[0]) < len(SENTENCE)
    assert call.summary.metrics["interruptions"] == 1


async def test_a_reply_of_160_s_interrupted_after_2_s_leaves_at_most_200_ms_in_the_carrier(
    simcall: Any,
) -> None:
    async with simcall(replies=[VERY_LONG]) as call:
        await call.caller_says("Tell me all")
        while call.call.agent_state != "speaking":
            await asyncio.sleep(0.001)
        began = now()
        most = 0.0
        while now() < began + 2.0:
            most = max(most, call.line._plays_until - now())
            await asyncio.sleep(0.005)
        assert sum(len(text) for text in call.scene.voice.spoken) * 0.06 > 2.0
        await call.caller_says("stop", wait=False)
        while not call.line.clears:
            most = max(most, call.line._plays_until - now())
            await asyncio.sleep(0.005)
        sent = call.line.media_messages
        await asyncio.sleep(2.0)
        assert call.line.media_messages == sent or call.scene.model.requests[-1][-1].content == "stop"

    assert most * 1000 <= LEFT_MS + 1e-6
    assert call.silent_after_ms <= LEFT_MS


async def test_speaking_while_the_model_is_slow_never_mutes_the_turn(simcall: Any) -> None:
    """Noises, words and a hum while the model thinks for 3 s: what is said is answered, and heard whole."""
    slow = [Reply(f"Answer {number}, and all of it.", delay_s=3.0) for number in range(8)]
    async with simcall(replies=slow) as call:
        await call.caller_says("Are you there")
        for saying, understood in (("hm", ""), ("well", "hello"), ("noise", "")):
            await asyncio.sleep(0.7)
            await call.caller_says(saying, understood=understood)
        heard = await call.agent_says(", and all of it.", within_s=20)
        await call.quiet(1000)

    assert heard.count("Answer") == 1
    assert call.line.clears == []
    assert call.summary.metrics["interruptions"] == 0
    assert [one.text for one in call.transcript if one.role == "user"] == ["Are you there hello"]
    assert call.scene.model.requests[-1][-1].content == "Are you there hello"


@pytest.mark.parametrize("mode", ["confirm", "pause"])
async def test_a_stop_word_after_an_unconfirmed_okay_stops_within_one_frame_of_its_transcript(
    simcall: Any, mode: str
) -> None:
    async with simcall(
        first_message=VERY_LONG, barge_in_mode=mode, barge_in_strategies=[StopWord()], replies=["Yes?"]
    ) as call:
        await call.agent_says("This sentence")
        call.scene.recogniser.interims = False
        await call.caller_says("okay")
        await asyncio.sleep(2.5)
        clears = len(call.line.clears)
        assert clears == (1 if mode == "pause" else 0)
        assert call.call.agent_state == "speaking"
        # A recogniser that answers late, when nothing is pending any more.
        told_at = now()
        call.scene.recogniser.emit(Final("no wait please stop now"))
        while len(call.line.clears) == clears:
            await asyncio.sleep(0.001)
        assert now() - told_at <= 0.020
        await call.agent_says("Yes?")

    assert call.scene.model.requests[-1][-1].content == "okay no wait please stop now"
    assert call.summary.metrics["interruptions"] == 1
    assert [one.text for one in call.transcript if one.backchannel] == ["okay"]
