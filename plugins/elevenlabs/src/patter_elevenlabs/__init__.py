"""ElevenLabs: agents of its Conversational AI as realtime engines."""

from __future__ import annotations

from collections.abc import Iterable

from patter import RealtimeRecord, hookimpl


@hookimpl
def patter_register_realtime() -> Iterable[RealtimeRecord]:
    """The engine ``elevenlabs-convai``.

    The vendor decides about turns, interruptions and replies, and tells neither when the caller's speech begins nor what
    its turn detection is: hence no other flags.
    """
    return [
        RealtimeRecord(
            "elevenlabs-convai",
            "patter_elevenlabs.convai:ElevenLabsConvai",
            config="patter_elevenlabs.convai_config:ElevenLabsConvaiConfig",
            env={"api_key": "ELEVENLABS_API_KEY", "agent_id": "ELEVENLABS_AGENT_ID"},
            description="An agent of ElevenLabs Conversational AI, over its WebSocket",
            native_greeting=True,
            reconnect=True,
            simulator="patter_elevenlabs.simulator_listener:listener",
        )
    ]
