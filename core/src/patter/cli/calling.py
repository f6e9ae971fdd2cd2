"""What ``patter call`` does once it has a phone and an agent."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from patter.cli.output import print_json
from patter.cli.running import StopSignals, say, wait_aloud

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call_result import CallResult
    from patter.client import Patter

EXIT_NOT_ANSWERED = 1
EXIT_STOPPED = 130
#: how often what takes its time is talked about, in s
EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class CallRequest:
    """Whom to call. `ring_timeout` in s."""

    to: str
    ring_timeout: float
    machine_detection: bool


async def place(phone: Patter, agent: Agent, request: CallRequest, *, as_json: bool) -> int:
    """Listen, call, wait for the end of the call, print the result. Raises what keeps the call from being placed."""
    with StopSignals() as stop:
        stopped = asyncio.ensure_future(stop.requested.wait())
        starting = asyncio.ensure_future(phone.start(agent))
        await wait_aloud(lambda: "loading what the agent needs ...", starting, stopped, every_s=EVERY_S)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return EXIT_STOPPED
        stopped.add_done_callback(lambda done: None if done.cancelled() else say("hanging up ..."))
        try:
            await starting
            result = await _result(phone, request, stopped)
        finally:
            was_stopped = not stopped.cancel()
            ending = asyncio.ensure_future(phone.disconnect())
            await wait_aloud(lambda: "still hanging up ...", ending)
            await ending
    if result is None:
        return EXIT_STOPPED
    _print(result, as_json=as_json)
    if was_stopped:
        return EXIT_STOPPED
    return 0 if result.outcome == "answered" else EXIT_NOT_ANSWERED


async def _result(phone: Patter, request: CallRequest, stopped: asyncio.Future[Any]) -> CallResult | None:
    """How the call went, also when it was cut short; None when it was stopped before there was one."""
    calling = asyncio.ensure_future(
        phone.call(request.to, ring_timeout=request.ring_timeout, machine_detection=request.machine_detection)
    )
    await wait_aloud(lambda: _progress(phone), calling, stopped, every_s=EVERY_S)
    if not calling.done():
        await phone.disconnect()
        await asyncio.wait({calling}, timeout=1.0)
        if not calling.done():
            calling.cancel()
            await asyncio.wait({calling})
            return None
    return await calling


def _progress(phone: Patter) -> str:
    talking = any(line.session is not None for line in phone.switchboard.lines())
    return "the call is on ..." if talking else "ringing ..."


def _print(result: CallResult, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(result))
        return
    reason = f" ({result.reason})" if result.reason else ""
    print(f"{result.outcome}: {result.status}, {result.duration_seconds:.1f} s{reason}")
    for entry in result.transcript:
        who = "agent " if entry.role == "assistant" else "caller"
        print(f"  {entry.heard_ms / 1000:7.1f} s  {who}  {entry.text}{' ...' if entry.interrupted else ''}")
    for line in result.cost.lines:
        known = f"{line.amount:.4f} {result.cost.currency}" if line.priced else "no price is known"
        about = f"{line.provider} {line.model}".strip()
        print(f"  {line.kind:8} {about}: {known}{' (estimated)' if line.estimated and line.priced else ''}")
    if result.cost.lines:
        print(f"  cost: {result.cost.total:.4f} {result.cost.currency}")


def _as_json(result: CallResult) -> dict[str, object]:
    return {
        "call_id": result.call_id,
        "outcome": result.outcome,
        "status": str(result.status),
        "reason": result.reason,
        "duration_seconds": result.duration_seconds,
        "transcript": [asdict(entry) for entry in result.transcript],
        "cost": result.cost.as_dict(),
        "metrics": dict(result.metrics),
    }
