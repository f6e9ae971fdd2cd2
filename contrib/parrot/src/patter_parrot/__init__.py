"""An example of a realtime engine: it repeats what it hears."""

from __future__ import annotations

from collections.abc import Iterable

from patter import RealtimeRecord, hookimpl


@hookimpl
def patter_register_realtime() -> Iterable[RealtimeRecord]:
    """The engine ``parrot``."""
    return [
        RealtimeRecord(
            "parrot",
            "patter_parrot.engine:Parrot",
            prices="free",
            description="Repeats the caller's audio half a second later; an example without a model",
        )
    ]
