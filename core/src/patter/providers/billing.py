"""What a vendor says after a call about what it billed for it (CO-08)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportedBill:
    """A vendor's own figures for one call; what it does not tell stays None, and Patter's own figure then stays.

    Attributes:
        seconds: how long the call was, or how much audio was heard, before any rounding.
        amount: what is billed for the call itself or for the audio, as a positive number; what a vendor lists as items
            of their own, such as recording, is not part of it.
        currency: of the amount, ISO 4217.
    """

    seconds: float | None = None
    amount: float | None = None
    currency: str = "USD"
