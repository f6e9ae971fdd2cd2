"""Averages and percentiles, against an independent implementation."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.metrics import (
    COMPONENTS,
    Distribution,
    ProviderNames,
    TurnMetrics,
    call_metrics,
    distribution,
    percentile,
)

HEARD = TurnMetrics(1, total_ms=2000.0, stt_ms=100.0, llm_ttft_ms=300.0, latency_ms=900.0)


@pytest.mark.behaviour("MX-05")
def test_percentiles_lie_between_order_statistics() -> None:
    values = [400.0, 100.0, 300.0, 200.0]
    assert percentile(values, 50) == 250.0
    assert percentile(values, 95) == pytest.approx(385.0)
    assert distribution(values) == Distribution(4, 250.0, 250.0, 370.0, 385.0, 397.0)
    assert distribution([None, 0.0, 100.0, None, 300.0, 0]) == distribution([100.0, 300.0])
    assert distribution([None, 0.0]) == Distribution()
    heard = [replace(HEARD, stt_ms=value) for value in values]
    left_out = [
        replace(HEARD, stt_ms=9000.0, interrupted=True),
        replace(HEARD, stt_ms=9000.0, total_ms=0.0),
        replace(HEARD, stt_ms=0.0),
        replace(HEARD, stt_ms=None),
    ]
    assert call_metrics([*heard, *left_out]).components["stt_ms"] == distribution(values)


@given(
    values=st.lists(st.floats(0.1, 1e6), min_size=1, max_size=40),
    percent=st.floats(0, 100),
)
def test_percentiles_are_those_of_type_7(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(float(numpy.percentile(values, percent)))


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 100.5)])
def test_what_has_no_percentile_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_a_call_has_figures_of_every_component() -> None:
    names = ProviderNames("ears", "voice", "model", "", "line")
    figures = call_metrics([HEARD, replace(HEARD, interrupted=True, bargein_ms=40.0)], providers=names)
    assert set(figures.components) == set(COMPONENTS)
    assert figures.turn_count == 2
    plain = figures.as_dict()
    assert plain["providers"] == {
        "stt": "ears",
        "tts": "voice",
        "llm": "model",
        "realtime": "",
        "telephony": "line",
    }
    assert plain["latency"]["latency_ms"] == {
        "count": 1,
        "average": 900.0,
        "p50": 900.0,
        "p90": 900.0,
        "p95": 900.0,
        "p99": 900.0,
    }
    assert plain["latency"]["bargein_ms"]["p50"] == 40.0
