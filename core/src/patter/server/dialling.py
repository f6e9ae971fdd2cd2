"""Placing a call: what is wanted of it, checked, entered at the switchboard and handed to the carrier (CC-01)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patter.call.call import Call
from patter.call.transfer_policy import is_number, is_sip_address
from patter.errors import ConfigError, InputError
from patter.providers.carrier import DialRequest
from patter.server.answering_machine import log_missing_detection

if TYPE_CHECKING:
    from patter.call.plan import CallPlan
    from patter.environment import Environment
    from patter.providers.carrier import MachineDetection
    from patter.server.line import Line, Trunk
    from patter.server.switchboard import Switchboard

#: `(call, detection)`, plain or ``async def``
OnMachineDetection = Callable[[Call, "MachineDetection"], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOrder:
    """What is wanted of one call. `ring_timeout` in s, None leaves it to the carrier; see `Patter.call()`."""

    to: str
    from_number: str
    ring_timeout: float | None = None
    machine_detection: bool = True
    on_machine_detection: OnMachineDetection | None = None
    voicemail_message: str | None = None
    recording: bool = False
    max_call_s: float | None = None

    def __post_init__(self) -> None:
        ring_s = self.ring_timeout
        if ring_s is not None and not (math.isfinite(ring_s) and ring_s > 0):
            raise InputError(
                f"call: ring_timeout must be a number of seconds above 0 or None, not {ring_s!r}"
            )
        if self.on_machine_detection is not None and not callable(self.on_machine_detection):
            raise ConfigError("call: on_machine_detection must be a function of the call and the result")

    @property
    def message(self) -> str:
        """What a machine is told; "" for nothing."""
        return (self.voicemail_message or "").strip()

    @property
    def detects(self) -> bool:
        """Whether the carrier is to find out who answered; a message for machines needs to know (CC-14)."""
        return self.machine_detection or bool(self.message)


async def dial(switchboard: Switchboard, environment: Environment, order: DialOrder, plan: CallPlan) -> Line:
    """Place a call over the first carrier; the line that the carrier has taken.

    Raises `InputError` for a number that the carrier cannot call, `CallRefusedError` when there is no room and
    `ProviderError` when the carrier refuses.
    """
    name, trunk = next(iter(switchboard.trunks.items()))
    _check_number(order.to, trunk)
    call = Call(
        environment.new_id("call"),
        direction="outbound",
        carrier=name,
        caller=order.from_number,
        callee=order.to,
    )
    ring_s = trunk.record.default_ring_s if order.ring_timeout is None else order.ring_timeout
    line = switchboard.dial(call, name, plan, ring_s)
    detects = order.detects and trunk.record.machine_detection
    if detects:
        line.voicemail_message = order.message
        line.on_machine_detection = order.on_machine_detection
    elif order.message or order.on_machine_detection is not None:
        log_missing_detection(line)
    line.recording = order.recording
    request = DialRequest(call.id, order.to, order.from_number, order.ring_timeout, detects, order.max_call_s)
    try:
        carrier_call_id = await trunk.carrier.dial(request)
    except BaseException:
        switchboard.not_dialled(line)
        raise
    switchboard.dialled(line, carrier_call_id)
    return line


def _check_number(number: str, trunk: Trunk) -> None:
    if not (is_number(number) or (trunk.record.sip and is_sip_address(number))):
        raise InputError(f"call: {number!r} is no number in E.164 form such as +15550001234")
