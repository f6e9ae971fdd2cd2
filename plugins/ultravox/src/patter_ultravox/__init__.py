"""Ultravox: a speech model with a voice as a realtime engine."""

from __future__ import annotations

from collections.abc import Iterable

from patter import RealtimeRecord, hookimpl


@hookimpl
def patter_register_realtime() -> Iterable[RealtimeRecord]:
    """The engine ``ultravox``.

    Its first message can be made uninterruptible, and a new call can be given the messages of a lost one. The vendor
    decides about turns and interruptions, and has no message that does nothing but cancel: hence no other flags.
    """
    return [
        RealtimeRecord(
            "ultravox",
            "patter_ultravox.engine:Ultravox",
            config="patter_ultravox.config:UltravoxConfig",
            env={"api_key": "ULTRAVOX_API_KEY"},
            description="Ultravox Realtime, over its WebSocket",
            prices="patter_ultravox:prices.json",
            native_greeting=True,
            reconnect=True,
            simulator="patter_ultravox.simulator_listener:listener",
        )
    ]
