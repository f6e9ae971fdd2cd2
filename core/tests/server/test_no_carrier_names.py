"""Core asks a carrier's record what it can do, and never who it is."""

from __future__ import annotations

from pathlib import Path

import pytest

import patter
from patter.records import CarrierRecord


@pytest.mark.behaviour("CC-18")
def test_only_the_list_of_installable_plugins_names_a_carrier() -> None:
    room = Path(patter.__file__).parent
    naming = {
        file.relative_to(room).as_posix()
        for file in room.rglob("*.py")
        if any(name in file.read_text(encoding="utf-8").lower() for name in ("twilio", "telnyx"))
    }

    assert naming == {"plugins/known.py"}


@pytest.mark.behaviour("CC-18")
def test_a_carrier_claims_nothing_unless_it_says_so() -> None:
    record = CarrierRecord("any", "any:Any")

    claims = (
        record.marks,
        record.clear,
        record.dtmf_out,
        record.recording,
        record.machine_detection,
        record.sip,
    )
    assert not any(claims)
    assert (record.transfers, record.speaks, record.default_ring_s) == ((), False, 60.0)
