"""Speech-to-speech engines. Provisional: the bridge that drives them comes with the first real engine.

What is here already binds: the normalised events of RT-15 and the life of a session.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.llm import ToolSpec

RealtimeEventKind = Literal[
    "audio",
    "transcript_input",
    "transcript_output",
    "function_call",
    "speech_started",
    "speech_stopped",
    "session_ready",
    "response_started",
    "response_done",
    "interrupted",
    "usage",
    "error",
    "closed",
]


@dataclass(frozen=True, slots=True)
class RealtimeEvent:
    """A normalised event of an engine; fields that a kind does not use stay empty."""

    kind: RealtimeEventKind
    audio: bytes = b""
    text: str = ""
    response_id: str | None = None
    item_id: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RealtimeSession:
    """What one call asks of an engine."""

    instructions: str
    tools: Sequence[ToolSpec] = ()
    language: str = "en"


class RealtimeEngine(ABC):
    """One session of one call."""

    @abstractmethod
    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """Format it takes and format it gives."""

    @abstractmethod
    async def connect(self, session: RealtimeSession) -> None:
        """Open the session. Raises `ProviderError`."""

    @abstractmethod
    async def send_audio(self, chunk: bytes) -> None:
        """Append the caller's next audio."""

    @abstractmethod
    def receive(self) -> AsyncIterator[RealtimeEvent]:
        """Events until `close()`."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent, allowed before `connect()`, ends within 1 s."""
