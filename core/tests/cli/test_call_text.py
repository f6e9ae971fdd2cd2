"""What ``patter call`` prints of a call."""

from __future__ import annotations

import pytest

from patter import CallCost, CallResult, CostLine
from patter.call.types import TranscriptEntry
from patter.cli.calling import _print
from patter.providers.carrier import CallStatus


def test_a_result_is_printed_with_what_each_provider_costs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = (
        CostLine("carrier", "acme", "outbound", {"call": 60.0}, {"call": 0.014}, estimated=True),
        CostLine("llm", "acme", "swift", {"input": 7.0}, {"input": 0.0002}),
        CostLine("tts", "other", "", {"characters": 7}, {"characters": 0.0}, priced=False),
    )
    said = (TranscriptEntry("assistant", "Hello.", 300.0),)
    _print(
        CallResult("call_1", "answered", CallStatus.COMPLETED, 4.25, said, cost=CallCost(lines)),
        as_json=False,
    )
    assert capsys.readouterr().out.splitlines() == [
        "answered: completed, 4.2 s",
        "      0.3 s  agent   Hello.",
        "  carrier  acme outbound: 0.0140 USD (estimated)",
        "  llm      acme swift: 0.0002 USD",
        "  tts      other: no price is known",
        "  cost: 0.0142 USD",
    ]
