"""Google: the Gemini Live API as a realtime engine."""

from __future__ import annotations

from collections.abc import Iterable

from patter import RealtimeRecord, hookimpl


@hookimpl
def patter_register_realtime() -> Iterable[RealtimeRecord]:
    """The engine ``gemini-live``.

    It can be asked to speak, and what it says can be given up; a lost session is made anew with its history. Nothing of
    a session can be changed while it runs, what was heard cannot be told to it, and speech events are not promised:
    hence no other flags.
    """
    return [
        RealtimeRecord(
            "gemini-live",
            "patter_google.live:GeminiLive",
            config="patter_google.live_config:GeminiLiveConfig",
            env={"api_key": "GEMINI_API_KEY"},
            description="The Gemini Live API, over its WebSocket",
            client_interrupt=True,
            reconnect=True,
            simulator="patter_google.simulator.listener:listener",
        )
    ]
