"""Rows of the ledger about playout, fact by fact."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from patter.call.session_state import SessionSettings
from patter.providers.carrier import CallStatus
from patter.testing.machine_driver import MachineDriver, Replies


def interrupt(call: MachineDriver) -> None:
    call.apply(call.machine.interrupt(call.t))


def clean_up(call: MachineDriver) -> None:
    call.apply(call.machine.end(CallStatus.COMPLETED, "the server is shutting down", call.t))


def carrier_stops(call: MachineDriver) -> None:
    call.apply(
        call.machine.end(CallStatus.COMPLETED, "the caller or carrier hung up", call.t, by_carrier=True)
    )


def socket_closes(call: MachineDriver) -> None:
    call.apply(call.machine.end(CallStatus.COMPLETED, "the media socket closed", call.t, by_carrier=True))


@pytest.mark.behaviour("PL-07")
@pytest.mark.parametrize("stop", [interrupt, clean_up, carrier_stops, socket_closes])
@pytest.mark.parametrize("echo_ms", [None, 300.0])
def test_stopping_resolves_every_mark_and_ends_the_sending(
    stop: Callable[[MachineDriver], None], echo_ms: float | None
) -> None:
    call = MachineDriver(
        SessionSettings(first_message="Hello, this is Acme, what can I do?"),
        replies=Replies(sentence_s=4.0),
        echo_ms=echo_ms,
    )
    call.begin()
    call.run(1.0)
    playout = call.machine.playout
    assert playout.waiting_marks > 0
    assert playout.backlog_ms() > 1000
    stop(call)
    sent = len(call.log.sent)
    # at once, and in the next step nothing more is handed out
    assert playout.waiting_marks == 0
    assert playout.step(call.t) == []
    assert playout.due_at(call.t) == inf
    # again, or with none pending: harmless
    for again in (stop, interrupt, clean_up):
        again(call)
    call.run(6.0)
    assert len(call.log.sent) == sent
    assert playout.waiting_marks == 0
    assert len(call.log.named("agent_speech_ended")) == 1
