"""How a simulated agent is set up, what it says, and how its server misbehaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from patter.simulators.hosted import HostedFaults, SimulatedTurn

#: what an agent may allow a conversation to change
OVERRIDES: Final = frozenset(
    {
        "agent.prompt.prompt",
        "agent.prompt.llm",
        "agent.prompt.tool_ids",
        "agent.first_message",
        "agent.language",
        "agent.max_conversation_duration_message",
        "tts.voice_id",
        "tts.model_id",
        "tts.stability",
        "tts.speed",
        "tts.similarity_boost",
        "asr.keywords",
        "turn.soft_timeout_config",
        "conversation.text_only",
        "conversation.max_duration_seconds",
    }
)
#: what this agent can be set up to tell its client, beside metadata and errors; a part of what the vendor has
CLIENT_EVENTS: Final = frozenset(
    {
        "agent_chat_response_part",
        "agent_response",
        "agent_response_complete",
        "agent_response_correction",
        "agent_tool_response",
        "audio",
        "client_tool_call",
        "interruption",
        "ping",
        "user_transcript",
    }
)
#: the classic set, which says nothing of a response's end
CLASSIC_EVENTS: Final = CLIENT_EVENTS - {"agent_chat_response_part", "agent_response_complete"}


@dataclass(frozen=True, slots=True)
class SimulatedAgent:
    """The agent's own settings, which a conversation changes only as far as `overrides` allow it.

    Attributes:
        agent_id: its id.
        private: whether a key or a signed URL is needed.
        output_format: of its voice, such as ``ulaw_8000``.
        input_format: of the caller's audio.
        first_message: its own; "" waits for the caller.
        overrides: what may be changed.
        required_variables: what its prompt needs.
        client_events: what it tells; metadata and errors always.
        turns: one after the other; the last one stays.
        max_duration_s: then it closes, in s.
        silence_end_call_s: it closes after so much silence of both, in s; None never.
        ping_s: between two pings, in s.
        pong_s: how long a pong may take, in s.
    """

    agent_id: str = "agent_simulated"
    private: bool = True
    output_format: str = "ulaw_8000"
    input_format: str = "ulaw_8000"
    first_message: str = ""
    overrides: frozenset[str] = OVERRIDES
    required_variables: tuple[str, ...] = ()
    client_events: frozenset[str] = CLASSIC_EVENTS
    turns: tuple[SimulatedTurn, ...] = (SimulatedTurn(),)
    max_duration_s: float = 600.0
    silence_end_call_s: float | None = None
    ping_s: float = 5.0
    pong_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Faults(HostedFaults):
    """How the server departs from what is good for a call; see `HostedFaults`. `drop` may also be "metadata".

    Attributes:
        disallowed: an override that is not allowed leads to an error, to a close without one, or to nothing.
        refusal: who has no rights is refused with HTTP 403, or with a close of 1008.
        ignore_first_message: the first message that the conversation asks for is not spoken, and nothing in its place.
        metadata_s: time to the metadata, in s.
        no_metadata: it never comes.
        events_before_metadata: a ping and a transcript come before it.
        late_chunks: pieces of audio that still come after an interruption.
    """

    disallowed: Literal["error", "close", "drop"] = "error"
    refusal: Literal["status", "close"] = "status"
    ignore_first_message: bool = False
    metadata_s: float = 0.0
    no_metadata: bool = False
    events_before_metadata: bool = False
    late_chunks: int = 0
