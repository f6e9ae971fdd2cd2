"""Counts what one call uses of the providers that are paid by use (CO-02).

The engine tells the meter of each provider that it makes, and counts at the place where a provider is used. Providers
of the same record and model are counted together, whichever object it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

from patter.metrics.cost import BilledKind, Used, llm_parts, realtime_parts
from patter.metrics.cost_book import is_billed
from patter.providers.llm import LLMChunk, Message, Text, ToolCallDelta, Usage
from patter.records import FREE

if TYPE_CHECKING:
    from types import TracebackType

    from patter.audio.formats import AudioFormat
    from patter.providers.realtime import RealtimeUsage
    from patter.records import Record

logger = logging.getLogger(__name__)

#: characters of a text that make a token, where nobody counts them (CO-07)
CHARACTERS_PER_TOKEN: Final = 4


@dataclass(slots=True)
class AudioUse:
    """Audio that an STT took: bytes of one format (CO-06)."""

    format: AudioFormat
    bytes: int = 0

    @property
    def seconds(self) -> float:
        """How long that is to listen to."""
        return self.format.duration_ms(self.bytes) / 1000


@dataclass(slots=True)
class ProviderUse:
    """What was used of one record and model."""

    record: Record
    model: str
    units: dict[str, float] = field(default_factory=dict)
    audio: list[AudioUse] = field(default_factory=list)
    estimates: int = 0
    estimated: bool = False

    def add(self, parts: Mapping[str, float]) -> None:
        """Count more of it."""
        for part, quantity in parts.items():
            self.units[part] = self.units.get(part, 0) + quantity

    @property
    def is_used(self) -> bool:
        """Whether there is anything to bill."""
        return any(self.units.values()) or any(use.bytes for use in self.audio)

    def used(self) -> Used:
        """What there is to bill by now."""
        units = dict(self.units)
        if self.audio:
            units["audio"] = sum(use.seconds for use in self.audio)
        kind = cast(BilledKind, self.record.kind)
        return Used(kind, self.record.name, self.model, units, self.estimated or bool(self.audio))


class CallMeter:
    """The meter of one call. `tell` is given the name and the data of an event."""

    def __init__(self, tell: Callable[[str, object], None] | None = None) -> None:
        self._tell = tell
        self._uses: dict[tuple[str, str, str], ProviderUse] = {}
        self._made: dict[int, tuple[object, ProviderUse]] = {}
        self._engine: ProviderUse | None = None

    def made(self, record: Record, model: str, provider: object) -> None:
        """A provider was made for this call."""
        if not is_billed(record):
            return
        key = (record.kind, record.name, model)
        use = self._uses.setdefault(key, ProviderUse(record, model))
        self._made[id(provider)] = (provider, use)
        if record.kind == "realtime":
            self._engine = use

    def uses(self) -> tuple[ProviderUse, ...]:
        """What was used so far, of each provider of which anything was, in the order in which they were made."""
        return tuple(use for use in self._uses.values() if use.is_used)

    def providers(self, kind: BilledKind) -> tuple[tuple[object, ProviderUse], ...]:
        """The objects of that kind that were made."""
        return tuple(pair for pair in self._made.values() if pair[1].record.kind == kind)

    def close(self) -> None:
        """The call is over: let go of the objects."""
        self._made.clear()

    # -- where providers are used

    def hears(self, stt: object, audio_format: AudioFormat) -> AudioUse:
        """An STT is about to take audio of that format; what it takes is to be added to the result."""
        heard = AudioUse(audio_format)
        use = self._use(stt)
        if use is not None:
            use.audio.append(heard)
        return heard

    def speech(self, tts: object, text: str, made: Sequence[object] = ()) -> SpeechBill:
        """A synthesis of `text`, as a context; `made` is empty as long as no audio came of it."""
        return SpeechBill(self._use(tts), text, made)

    def spoken(self, tts: object, text: str) -> None:
        """A synthesis of `text` is complete."""
        with self.speech(tts, text):
            pass

    def request(self, llm: object, messages: Sequence[Message]) -> RequestBill:
        """A request to a model, as a context; give its chunks to `RequestBill.take`."""
        return RequestBill(self._use(llm), messages, self._tell)

    def response(self, usage: RealtimeUsage) -> None:
        """An engine told what a response was billed, however that ended (CO-04)."""
        if self._engine is not None:
            self._engine.add(realtime_parts(usage))

    def _use(self, provider: object) -> ProviderUse | None:
        found = self._made.get(id(provider))
        return None if found is None else found[1]


class SpeechBill:
    """The characters of one synthesis: billed when it was made or cut off, not when it failed without a sound."""

    def __init__(self, use: ProviderUse | None, text: str, made: Sequence[object]) -> None:
        self._use = use
        self._text = text
        self._made = made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = isinstance(error, Exception) and not self._made
        if self._use is not None and not failed:
            self._use.add({"characters": len(self._text)})


class RequestBill:
    """The tokens of one request: as the vendor counted them, else estimated (CO-07).

    A request that failed before it was answered is not billed; one that was cut off is, for what came of it.
    """

    def __init__(
        self,
        use: ProviderUse | None,
        messages: Sequence[Message],
        tell: Callable[[str, object], None] | None,
    ) -> None:
        self._use = use
        self._messages = messages
        self._tell = tell
        self._output = 0
        self._answered = False
        self._usage: Usage | None = None

    def take(self, chunk: LLMChunk) -> None:
        """A chunk of the answer."""
        if isinstance(chunk, Text):
            self._output += len(chunk.content)
        elif isinstance(chunk, ToolCallDelta):
            self._output += len(chunk.name or "") + len(chunk.arguments)
        elif isinstance(chunk, Usage):
            self._usage = chunk
        self._answered = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._use is None or (isinstance(error, Exception) and not self._answered):
            return
        usage = self._usage
        if usage is None:
            if self._use.record.prices == FREE:
                return
            usage = self._estimate(self._use)
        read, write = usage.cache_read_tokens, usage.cache_write_tokens
        self._use.add(llm_parts(usage.input_tokens, usage.output_tokens, read, write))
        self._use.estimated = self._use.estimated or usage.estimated
        if self._tell is not None:
            self._tell("usage", usage)

    def _estimate(self, use: ProviderUse) -> Usage:
        given = sum(_characters(message) for message in self._messages)
        usage = estimated_usage(given, self._output)
        use.estimates += 1
        if use.estimates == 1:
            logger.info(
                "%s/%s gave no token count; estimated from %d and %d characters: %d in, %d out",
                use.record.name,
                use.model,
                given,
                self._output,
                usage.input_tokens,
                usage.output_tokens,
            )
        else:
            logger.debug("%s/%s: %d replies estimated", use.record.name, use.model, use.estimates)
        return usage


def estimated_usage(given: int, written: int) -> Usage:
    """The tokens of so many characters of input and output, rounded up to whole tokens."""
    return Usage(-(-given // CHARACTERS_PER_TOKEN), -(-written // CHARACTERS_PER_TOKEN), estimated=True)


def _characters(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return len(message.content) + calls
