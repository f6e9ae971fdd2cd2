"""Speech recognition: caller audio in, transcripts out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.billing import ReportedBill


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; times in ms from the start of the audio that was sent."""

    text: str
    start_ms: float
    end_ms: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Interim:
    """The open utterance as understood so far; its first `stable_chars` characters will not change any more."""

    text: str
    stable_chars: int = 0
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """A closed utterance, all its vendor segments joined (TN-04). `from_finalize`: it answers `finalize()`."""

    text: str
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    from_finalize: bool = False
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The STT's own detector heard speech begin; used when there is no VAD."""


@dataclass(frozen=True, slots=True)
class UtteranceEnd:
    """The vendor's late end-of-utterance signal; core ignores it after a `Final` of that utterance."""


STTEvent = Interim | Final | SpeechStarted | UtteranceEnd


class STT(ABC):
    """One recogniser for one call.

    Life: made by its factory (no I/O), `connect()`, then `send_audio()` for each frame while another task reads
    `receive()`, then `close()`. All of it runs on the event loop of the call.

    When its connection is lost (SP-02), it says so and nothing else: `receive()` raises `ProviderDisconnected`, and so
    does `send_audio()` from then on. Core closes the object, makes another one, and goes on with that:

    - The caller's audio of the gap, up to 2 s, comes first and in order. It begins with the chunk on which
      `send_audio()` raised, or with which it was still busy. Audio that it took without raising is never sent again,
      so take none that cannot be handed to the socket, and keep no queue of your own.
    - A final that was asked for and did not come is asked for again. What the lost object told of the open utterance,
      its last `Interim`, goes before the words of the next final.
    - `speech_started()` and `interims_wanted()` are called again as they stand.
    - Finals that the vendor sends once more after a resumed session do not belong in `receive()`. Core drops what it
      can recognise: a text that it was given before, with no speech since.

    A plugin that resumes its session by itself, without any of this being seen, says `reconnects=True` in its record;
    it keeps the same promises.
    """

    @abstractmethod
    def input_formats(self) -> Sequence[AudioFormat]:
        """Formats it takes, best first. Core sends the carrier's bytes untouched when the carrier's is among them."""

    @abstractmethod
    async def connect(self, audio_format: AudioFormat) -> None:
        """Open the connection for audio in that format, one of `input_formats()`, within 10 s.

        Raises `ProviderAuthError`, `ProviderDisconnected` or `ProviderTimeout`.
        """

    @abstractmethod
    def send_audio(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next audio, about 20 ms. Raises `ProviderDisconnected` once the connection is lost.

        A plain function is called in the reader's step and must return within microseconds. An ``async def`` is
        called by a sender of its own behind a backlog of at most 2 s (LC-05), and is cancelled when the connection
        turns out to be lost.
        """

    @abstractmethod
    def receive(self) -> AsyncIterator[STTEvent]:
        """Events until `close()`. Ends without an exception after `close()`; raises `ProviderError` on failure."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent, allowed before `connect()`, ends within 1 s (LC-09)."""

    async def finalize(self) -> None:  # noqa: B027 - optional
        """Close the open utterance now and answer with a `Final` (TN-21), with an empty one if nothing was said."""

    async def warmup(self) -> None:  # noqa: B027 - optional
        """Do beforehand what makes `connect()` fast; free of model charges.

        A recogniser with a connection may offer two methods in its place, of which core makes use while the phone
        rings: ``async open_parked_connection(audio_format)`` opens it, sends what `connect()` would send, and returns a
        handle with a `close()`; ``adopt_websocket(handle)``, plain or async, goes on with it and raises when it is no
        longer open. The handle keeps itself alive meanwhile, as its vendor wants it (PW-03, PW-06).
        """

    def speech_started(self) -> None:  # noqa: B027 - optional
        """The call's VAD heard speech begin. For recognisers that cut their segments to the VAD."""

    def interims_wanted(self, wanted: bool) -> None:  # noqa: B027 - optional
        """Whether interims are of use now. For recognisers to which an interim costs a whole decode."""

    async def reported_bill(self) -> ReportedBill | None:
        """What the vendor says that it billed for this object, asked for after `close()` (CO-08).

        Asked only where the record says `reports_bill=True`, and again later while it is None. Raises `ProviderError`.
        """
        return None
