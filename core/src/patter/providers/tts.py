"""Speech synthesis: sentences in, audio out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat


@dataclass(frozen=True, slots=True)
class WordTime:
    """A spoken word and when it begins, in ms from the start of this synthesis."""

    text: str
    start_ms: float


class TTS(ABC):
    """One voice for one call."""

    @abstractmethod
    def output_format(self) -> AudioFormat:
        """The format of the chunks; fixed for the life of the object."""

    @abstractmethod
    def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Audio of `text` in chunks of any size, as an async generator.

        A chunk may end in the middle of a sample. Closing the generator stops the vendor within 100 ms, and nothing
        of it leaks into the next synthesis (SP-11). Blank text yields nothing and makes no request. Raises
        `ProviderError`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent, allowed before the first synthesis, ends within 1 s."""

    async def warmup(self) -> None:  # noqa: B027 - optional
        """Do beforehand what makes the first synthesis fast; free of model charges.

        A voice with a connection may offer ``async open_parked_connection()`` and ``adopt_websocket(handle)`` in its
        place; see `patter.providers.stt.STT.warmup`.
        """

    def word_times(self) -> tuple[WordTime, ...]:
        """Word times of the synthesis in progress, as far as known; empty where the vendor has none (TN-08)."""
        return ()
