"""The vendor's messages as Patter's events: pure, driven by the caller's clock.

No message says that a response is over: only the state that the agent is in, and which audio is to be dropped. Audio comes
faster than it plays, up to the buffer that the client promised. A response is open here from its first text or audio until
all of its audio would have been played if it had been played as it came, since until then it may be interrupted. Audio is
passed on a little ahead of its time, so that a response does not look silent before it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patter.providers.hosted_agent import HostedAgentReader, HostedResponse
from patter.providers.llm import ToolCall
from patter.providers.realtime import RealtimeEvent
from patter.providers.vendor_json import LONGEST_TEXT, as_arguments, text
from patter_ultravox.messages import LONGEST_NAME

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat


@dataclass(slots=True)
class _Response(HostedResponse):
    #: which utterance it is; None until the vendor says so
    ordinal: int | None = None
    said: str = ""
    has_final: bool = False


class CallReader(HostedAgentReader[_Response]):
    """One call; see `HostedAgentReader`. `resampled` says that its audio has another rate than the carrier's."""

    def __init__(
        self, gives: AudioFormat, now: float, name: str = "response", *, resampled: bool = False
    ) -> None:
        super().__init__(_Response, gives, now, name, resampled=resampled)
        #: utterances up to this one are over
        self._over = -1
        self._readers = {
            "state": self._state,
            "transcript": self._transcript,
            "client_tool_invocation": self._tool_call,
            "playback_clear_buffer": self._clear,
        }

    def read_audio(self, audio: bytes, now: float) -> Iterator[RealtimeEvent]:
        """The events of a piece of audio; half a sample waits for the other half."""
        audio = self._audio.whole(audio)
        if not audio:
            return
        if self._open is not None:
            self._open.complete = False
        yield from self._add_audio(audio, now)

    # -- data messages

    def _state(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None and self._open.has_audio:
            self._open.complete = message.get("state") in ("idle", "listening", "thinking")
            yield from self.expire(now)

    def _transcript(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        ordinal = message.get("ordinal")
        if type(ordinal) is not int or not 0 <= ordinal < 1 << 53:
            return
        final = message.get("final") is True
        if message.get("role") == "agent":
            yield from self._agent_transcript(message, ordinal, final, now)
        elif message.get("role") == "user" and final:
            said = (text(message, "text") or text(message, "delta")).strip()
            if said:
                yield RealtimeEvent(
                    "transcript_input", text=said, final=True, item_id=f"{self._name}-user-{ordinal}"
                )

    def _agent_transcript(
        self, message: Mapping[str, Any], ordinal: int, final: bool, now: float
    ) -> Iterator[RealtimeEvent]:
        if ordinal <= self._over:
            return
        if self._open is not None and self._open.ordinal is not None:
            if ordinal < self._open.ordinal:
                return
            if ordinal > self._open.ordinal:
                yield from self._done("completed", now)
        whole, piece = text(message, "text"), text(message, "delta")
        if self._open is None and not whole and not piece:
            return
        yield from self._begin(now)
        response = self._opened
        response.ordinal = ordinal
        if response.has_final:
            return
        if whole:
            # What grows is told by what was added; what was changed is told at the end alone.
            piece = whole[len(response.said) :] if whole.startswith(response.said) else ""
        response.said = (whole or response.said + piece)[:LONGEST_TEXT]
        if final:
            response.has_final = True
            piece = response.said.strip()
        if piece:
            yield RealtimeEvent(
                "transcript_output", text=piece, final=final, response_id=response.id, item_id=response.id
            )

    def _tool_call(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        yield from self._waits_for(
            ToolCall(
                text(message, "invocationId", LONGEST_NAME),
                text(message, "toolName", LONGEST_NAME),
                as_arguments(message.get("parameters")),
            )
        )

    def _clear(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        yield from self._interrupted("playback_clear_buffer", now)

    def _last_words(self, response: _Response) -> Iterator[RealtimeEvent]:
        """The whole text, of which the vendor may not have said that it is."""
        if response.ordinal is not None:
            self._over = max(self._over, response.ordinal)
        if response.said.strip() and not response.has_final:
            yield RealtimeEvent(
                "transcript_output",
                text=response.said.strip(),
                final=True,
                response_id=response.id,
                item_id=response.id,
            )
