"""How a simulated call comes about: announced or dialled, ringing, answered or not, and its media."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from patter.call.call import Call
from patter.providers.carrier import (
    CallOffer,
    CallStatus,
    Connect,
    DialRequest,
    MachineDetection,
    StatusReport,
)
from patter.testing.whole_call.line import ODD_MESSAGES, MemoryLine
from patter.testing.whole_call.providers import CURRENT_CALL

if TYPE_CHECKING:
    from patter.testing.whole_call.played_call import PlayedCall

CALLER, NUMBER = "+15550009876", "+15550001234"
#: what a machine is told
MESSAGE = "Please ring us back."


async def placed(played: PlayedCall, *, log: bool = False) -> asyncio.Task[None] | None:
    """Announce or dial a call, let it ring, and open its media; None when there are none."""
    exchange, name, script = played.exchange, played.carrier_name, played.script
    host, plan = exchange.hosts[name], script.prewarm
    carrier_call_id = played.far_end.carrier_call_id
    answer = None
    if script.outbound:
        call_id = await _dialled(played)
    else:
        answer = await host.incoming_call(CallOffer(carrier_call_id, CALLER, NUMBER))
    if plan is not None and plan.rings_s:
        await asyncio.sleep(plan.rings_s)
    if plan is not None and plan.unanswered:
        _not_answered(played, plan.unanswered)
        return None
    if script.outbound:
        answer = await host.call_answered(call_id, carrier_call_id)
    if not isinstance(answer, Connect) or script.media == "never":
        return None
    if script.media == "late":
        await asyncio.sleep(3.0)
    claim = exchange.phone.switchboard.claim(name, answer.stream_url.rpartition("/")[2])
    if claim is None:
        return None
    line = played.line = MemoryLine(played, played.far_end, log=log)

    async def serve() -> None:
        CURRENT_CALL.set(played)
        try:
            await exchange.phone.switchboard.serve_media(claim, line)
        finally:
            await line.close()

    task: asyncio.Task[None] = played.loop.create_task(serve(), name="carrier")
    _start_media(played, line)
    if plan is not None and plan.answered_by:
        verdict = MachineDetection(plan.answered_by, plan.answered_by, played.t)
        told = played.loop.call_later(plan.verdict_s, host.machine_detected, carrier_call_id, verdict)
        played.timers.append(told)
    return task


def _start_media(played: PlayedCall, line: MemoryLine) -> None:
    media = played.script.media
    if media == "dropped at once":
        line.drop()
        return
    if media == "odd messages first":
        for text in ODD_MESSAGES:
            line.send(text)
    if media == "of another call":
        for text in type(played.far_end)(played.script.seed + 1).opening():
            line.send(text)
        return
    line.open()


async def _dialled(played: PlayedCall) -> str:
    """As `Patter.call` does, without waiting for the end."""
    phone, name, plan = played.exchange.phone, played.carrier_name, played.script.prewarm
    agent = played.exchange.agent(played.script)
    call = Call(
        phone.environment.new_id("call"), direction="outbound", carrier=name, caller=NUMBER, callee=CALLER
    )
    played.rings(call)
    line = phone.switchboard.dial(call, name, phone.planner.plan(agent), 25.0)
    if plan is not None and plan.answered_by:
        line.voicemail_message = MESSAGE
    request = DialRequest(call.id, CALLER, NUMBER)
    phone.switchboard.dialled(line, await line.trunk.carrier.dial(request))
    return call.id


def _not_answered(played: PlayedCall, how: str) -> None:
    """The call ends while it rings."""
    exchange, call = played.exchange, played.call
    played.note(14, 0, "not answered: %s", how)
    if how == "shutdown":
        played.start(exchange.phone.switchboard.drain(within_s=5.0))
    elif how == "application" and call is not None:
        played.start(exchange.phone.end_call(call.id))
    else:
        report = StatusReport(played.far_end.carrier_call_id, CallStatus(how))
        exchange.hosts[played.carrier_name].call_status(report)
