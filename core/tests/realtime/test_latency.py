"""The figures of turns that an engine makes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from realtime_calls import GREETING, agent


async def test_an_engines_answer_is_measured_from_where_it_heard_the_caller_end(simcall: Any) -> None:
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
        for question in ("First, please?", "And the second?"):
            await call.caller_says(question)
            await call.agent_says(f"You said: {question}")
            await call.quiet(500)
        heard = call.timeline
    figures = call.summary.latency
    assert [turn.kind for turn in figures.turns] == ["greeting", "reply", "reply"]
    for turn in figures.turns:
        result = turn.breakdown
        assert abs(sum(part.ms for part in result.parts) - result.total_ms) <= 1.0
        assert result.heard
    answers = figures.turns[1:]
    waits = [
        (answer.start - caller.end) * 1000 for caller, answer in pairwise(heard) if caller.who == "caller"
    ]
    for turn, wait in zip(answers, waits, strict=True):
        assert turn.latency_ms is not None
        assert 0 <= turn.latency_ms <= wait + 1  # the engine notices the end after a silence of its own
        assert (turn.stt_ms, turn.llm_ttft_ms) == (None, None)
        assert turn.has_end_of_speech
        assert {part.provider for part in turn.breakdown.parts} == {"", "fake"}
        assert {part.setting for part in turn.breakdown.parts} >= {"engine"}
        assert turn.user_speech_duration_ms == pytest.approx(14 * 60, abs=500)
    assert (figures.providers.realtime, figures.providers.llm) == ("fake", "")
