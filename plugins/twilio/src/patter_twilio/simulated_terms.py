"""What a simulated call is about: who calls whom, where its reports go, what is asked of it, and its way to the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import aiohttp

Form = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class CallbackFaults:
    """`reorder` swaps neighbouring status callbacks, `duplicate` sends each twice."""

    reorder: bool = False
    duplicate: bool = False


@dataclass(frozen=True)
class Callee:
    """What happens at the other end of a call that the server dials.

    `answered_by` is posted `detection_s` after the answer, where the server asked for machine detection.
    """

    outcome: Literal["answer", "busy", "no-answer", "failed"] = "answer"
    rings_s: float = 0.05
    answered_by: str = "human"
    detection_s: float = 0.05


@dataclass
class CallPlan:
    """Where a call's documents and reports go; `events` are the statuses reported beside `completed`."""

    url: str = ""
    document: str = ""
    fallback_url: str = ""
    status_callback: str = ""
    events: frozenset[str] = frozenset()
    amd_callback: str = ""


@dataclass(frozen=True)
class SimulatedRecording:
    """A recording that was asked for: its SID, the loop time of its start, and what is recorded."""

    sid: str
    t: float
    channels: str
    track: str


@dataclass
class SimulatedPrices:
    """What the account pays for a minute, and when the price of a call is known, in s after its end.

    The prices are not those of the list, as those of an account with a contract are not.
    """

    inbound: float = 0.0071
    outbound: float = 0.0123
    known_after_s: float = 20.0


@dataclass
class CallDetails:
    """Who calls whom."""

    sid: str
    account_sid: str
    caller: str
    callee: str
    direction: str
    fields: Mapping[str, str] = field(default_factory=dict)


class Line(Protocol):
    """How a call reaches the server under test; all URLs are public ones.

    `transferee` is what happens at the other end of a transfer.
    """

    transferee: Callee

    async def post(self, url: str, form: Form) -> tuple[int, str]:
        """Post a signed form; returns status and body. Raises `TimeoutError`, `aiohttp.ClientError`."""

    async def connect(self, url: str) -> aiohttp.ClientWebSocketResponse:
        """Open a signed media connection. Raises `aiohttp.ClientError`."""

    def new_sid(self, prefix: str) -> str:
        """A fresh SID."""

    def wall(self) -> float:
        """Seconds since 1970."""
