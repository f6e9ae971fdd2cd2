"""The figures of turns in whole calls: what they are, and who is told of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from turn_delays import Slow, check_sums, lookup

from patter import BargeInStrategy
from patter.providers.stt import Final
from patter.testing import CallTool, Reply


@pytest.mark.behaviour("MX-08")
async def test_a_turn_begins_with_its_own_speech(simcall: Any) -> None:
    """Noise before it, and what is dropped as a caption of silence, is none of it; nor is what comes afterwards."""
    async with simcall(replies=[Reply("The answer is a long one, as you will hear.")]) as call:
        await call.caller_says("-", understood="", duration_ms=300)
        await asyncio.sleep(2)
        await call.caller_says("-", understood="[Music]", duration_ms=300)
        await asyncio.sleep(3)
        await call.caller_says("What is it?", duration_ms=1000)
        await asyncio.sleep(1)
        await call.agent_says("The answer is")
        await call.caller_says("-", understood="", duration_ms=20)
        await call.quiet(500)
    (turn,) = call.summary.latency.turns
    # the VAD reports speech 40 ms after its beginning, and its end 400 ms after that
    assert turn.user_speech_duration_ms == pytest.approx(1000 - 40 + 400, abs=25)
    assert turn.total_ms == pytest.approx(1360, abs=25)


@pytest.mark.behaviour("MX-08")
async def test_a_dropped_final_is_where_a_turn_begins_that_no_vad_heard_begin(simcall: Any) -> None:
    async with simcall(replies=["Yes."]) as call:
        await call.caller_says("-", understood="[Music]", duration_ms=300)
        await asyncio.sleep(3)
        call.scene.recogniser.emit(Final("are you there"))
        await call.agent_says("Yes.")
        await call.quiet(500)
    (turn,) = call.summary.latency.turns
    # dropped at once after the VAD's stop, 700 ms after the noise began
    assert turn.user_speech_duration_ms == pytest.approx(3000 - 400, abs=30)
    assert turn.stt_ms == 0.0


@pytest.mark.behaviour("MX-09")
@pytest.mark.parametrize("heard", [False, True])
async def test_a_turn_that_is_open_at_the_end_is_recorded_as_interrupted(simcall: Any, heard: bool) -> None:
    reply = Reply("This answer is never heard to its end.", delay_s=0.5 if heard else 9.0)
    async with simcall(replies=[reply], stt="fake") as call:
        call.scene.recogniser.delay_s = 0.2
        await call.caller_says("What is it?", duration_ms=1000)
        await asyncio.sleep(2.0)
        await call.caller_hangs_up()
    (turn,) = call.summary.latency.turns
    assert turn.interrupted
    assert (turn.stt_ms, turn.endpoint_ms) == (200.0, 200.0)
    assert turn.llm_ttft_ms == (500.0 if heard else None)
    assert turn.breakdown.heard is heard
    assert turn.breakdown.ms("llm_first_token") == pytest.approx(500.0 if heard else 1400.0, abs=45)
    assert not turn.counts
    assert call.summary.latency.components["stt_ms"].count == 0
    assert check_sums(call.summary.latency) == 1


@pytest.mark.behaviour("MX-11")
async def test_a_call_has_figures_of_all_components_and_names(simcall: Any) -> None:
    delays = (0.1, 0.2, 0.3, 0.4)
    replies = [Reply("Yes, we do that.", delay_s=delay) for delay in delays]
    async with simcall(replies=replies) as call:
        for _ in delays:
            await call.caller_says("Do you do that?")
            await call.agent_says("Yes, we do that.")
            await call.quiet(500)
    figures = call.summary.latency
    assert figures.turn_count == 4
    ttft = figures.components["llm_ttft_ms"]
    assert (ttft.average, ttft.p50) == (250.0, 250.0)
    assert (ttft.p90, ttft.p95, ttft.p99) == (370.0, 385.0, 397.0)
    for name in ("endpoint_ms", "stt_ms", "tts_ms"):  # no time passes there, and 0 is no measurement
        assert figures.components[name].count == 0, name
    for name in ("llm_total_ms", "total_ms", "tts_total_ms", "latency_ms"):
        assert figures.components[name].count == (0 if name == "tts_total_ms" else 4), name
    assert figures.providers.stt == figures.providers.llm == figures.providers.tts == "fake"
    assert (figures.providers.realtime, figures.providers.telephony) == ("", "fake")
    plain = call.summary.metrics
    assert plain["latency"]["llm_ttft_ms"]["p95"] == 385.0
    assert plain["turn_count"] == 4
    assert plain["providers"]["telephony"] == "fake"


class TwoWords(BargeInStrategy):
    """Two words interrupt."""

    def evaluate(self, event: Any) -> bool:
        return len(event.transcript.split()) > 1


@pytest.mark.behaviour("MX-07")
async def test_interruptions_of_a_call_and_how_long_they_took(simcall: Any) -> None:
    told: list[Any] = []
    long = "Our opening hours are nine to five, from Monday to Friday, and never else."
    async with simcall(replies=[long, "Fine."], barge_in_strategies=[TwoWords()]) as call:
        call.call.on("interruption", told.append)
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours")
        await call.caller_says("No thank you, bye")
        await call.agent_says("Fine.")
        await call.quiet(500)
    confirmed = [outcome for outcome in told if outcome.outcome == "confirmed"]
    (outcome,) = confirmed
    (overlap,) = call.summary.latency.overlaps
    assert outcome.metrics == overlap
    assert overlap.total_duration == overlap.detection_delay == round(outcome.detection_delay_ms, 1) > 0
    assert (overlap.interruptions, overlap.backchannels) == (1, 0)
    interrupted, answer = call.summary.latency.turns
    assert interrupted.interrupted
    assert interrupted.bargein_ms == overlap.detection_delay
    assert answer.bargein_ms is None
    assert call.summary.metrics["endpoint_signal_missing_count"] == 0


@pytest.mark.parametrize("mode", ["confirm", "pause"])
async def test_the_agent_is_silent_once_it_is_paused_or_interrupted(simcall: Any, mode: str) -> None:
    long = "Our opening hours are nine to five, from Monday to Friday, and never else."
    options = {"barge_in_strategies": [TwoWords()], "barge_in_mode": mode}
    async with simcall(replies=[long, "Fine."], **options) as call:
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours")
        await call.caller_says("No thank you, bye")
        await call.agent_says("Fine.")
    (overlap,) = call.summary.latency.overlaps
    interrupted = call.summary.latency.turns[0]
    assert overlap.detection_delay > 100
    assert interrupted.bargein_ms == (0.0 if mode == "pause" else overlap.detection_delay)


async def test_an_application_that_stops_the_agent_waits_for_nothing(simcall: Any) -> None:
    async with simcall(replies=["Our opening hours are nine to five, every day."]) as call:
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours")
        call.call.interrupt()
        await call.quiet(500)
    (turn,) = call.summary.latency.turns
    assert (turn.interrupted, turn.bargein_ms) == (True, 0.0)
    assert [overlap.total_duration for overlap in call.summary.latency.overlaps] == [0.0]
    assert call.summary.latency.bargein.count == 0


async def test_the_turn_that_interrupted_has_no_times_before_its_commit(simcall: Any) -> None:
    """MX-04 in a whole call: it began in the moment in which it interrupted."""
    async with simcall(replies=["Our opening hours are nine to five, every day.", "Fine."]) as call:
        call.scene.recogniser.delay_s = 0.2
        await call.caller_says("When are you open?")
        await call.agent_says("Our opening hours")
        await call.caller_says("No thank you")
        await call.agent_says("Fine.")
        await call.quiet(500)
    first, second = call.summary.latency.turns
    assert (first.stt_ms, first.endpoint_ms) == (200.0, 200.0)
    assert (second.stt_ms, second.endpoint_ms, second.agent_response_ms) == (0.0, None, None)
    assert second.latency_ms == pytest.approx(200.0, abs=1)


EVENTS = (
    "turn_started",
    "turn_ended",
    "eou_metrics",
    "interruption",
    "llm_metrics",
    "tts_metrics",
    "stt_metrics",
    "metrics_collected",
    "call_ended",
    "transcript_partial",
    "transcript_final",
    "llm_chunk",
    "tts_chunk",
    "tool_call_started",
)


@pytest.mark.behaviour("MX-10")
@pytest.mark.parametrize("initial_only", [False, True])
async def test_every_event_reaches_its_subscribers(simcall: Any, initial_only: bool, caplog: Any) -> None:
    seen: dict[str, list[Any]] = {name: [] for name in EVENTS}
    late: list[Any] = []
    running = most = 0

    async def slowly(data: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.5)
        running -= 1

    def fails(data: Any) -> None:
        raise RuntimeError("of no account")

    first = Reply("Let me have a look at that. ", tools=[CallTool("lookup")], delay_s=0.3)
    then = Reply("We are open all day. And all night as well, on every day.", delay_s=0.4, token_delay_s=0.02)
    async with simcall(
        tools=[lookup], replies=[first, then, "Fine."], report_only_initial_ttfb=initial_only
    ) as call:
        for name in EVENTS:
            call.call.on(name, seen[name].append)
        unsubscribe = call.call.on("llm_chunk", late.append)
        call.call.on("llm_chunk", slowly)
        call.call.on("llm_metrics", fails)
        await call.caller_says("When are you open?")
        await call.agent_says("We are open")
        unsubscribe()
        unsubscribe()
        gone = len(late)
        await call.agent_says("And all night")
        await call.caller_says("Thanks, that will do")
        await call.agent_says("Fine.")
        await call.quiet(300)
    assert [name for name in EVENTS if not seen[name]] == []
    assert 0 < gone == len(late) < len(seen["llm_chunk"])
    assert most == 8
    assert running == 0
    assert "a subscriber of llm_metrics failed" in caplog.text

    assert "".join(seen["llm_chunk"]).endswith("Fine.")
    assert sum(map(len, seen["tts_chunk"])) > 8000
    answer, second = call.summary.latency.turns
    assert seen["metrics_collected"] == [answer, second]
    assert [report.metrics for report in seen["turn_ended"]] == [answer, second]
    assert [report.latency_ms for report in seen["turn_ended"]] == [answer.latency_ms, second.latency_ms]
    assert seen["call_ended"] == [call.summary]
    requests = [(one.turn, one.request, one.ttft) for one in seen["llm_metrics"]]
    sentences = [(one.turn, one.sentence) for one in seen["tts_metrics"]]
    if initial_only:
        assert requests == [(1, 1, 300.0), (2, 1, 0.0)]
        assert sentences == [(1, 1), (2, 1)]
    else:
        assert requests == [(1, 1, 300.0), (1, 2, 400.0), (2, 1, 0.0)]
        assert sentences == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert {one.provider for one in (*seen["llm_metrics"], *seen["tts_metrics"], *seen["stt_metrics"])} == {
        "fake"
    }
    assert [one.stt_ms for one in seen["stt_metrics"]] == [answer.stt_ms, second.stt_ms]
    assert [one.turn for one in seen["eou_metrics"]] == [1, 2]


@pytest.mark.behaviour("MX-06")
async def test_what_the_end_of_an_utterance_took_is_told_when_the_hooks_have_seen_it(simcall: Any) -> None:
    told: list[Any] = []
    async with simcall(replies=["Yes."], pipeline=Slow(turn_s=0.15)) as call:
        call.scene.recogniser.delay_s = 0.2
        call.call.on("eou_metrics", told.append)
        await call.caller_says("Are you there?")
        await call.agent_says("Yes.")
    (figures,) = told
    assert (figures.end_of_utterance_delay, figures.transcription_delay) == (200.0, 200.0)
    assert figures.on_user_turn_completed_delay == 150.0


async def test_the_record_of_a_call_keeps_its_figures(simcall: Any, phone: Any) -> None:
    async with simcall(first_message="Hello.", replies=["Yes."]) as call:
        await call.agent_says("Hello.")
        await call.caller_says("Are you there?")
        await call.agent_says("Yes.")
        assert phone.calls.get(call.call.id).latency is None
        await call.quiet(500)
    record = phone.calls.get(call.call.id)
    assert not record.is_active
    assert record.latency is call.summary.latency
    assert [turn.kind for turn in record.latency.turns] == ["greeting", "reply"]
