"""The phone's VADs: one batch per model and rate for all calls of an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from patter.call.vad_batching import VADBank
from patter.call.vad_simple import SimpleVAD
from patter.plugins import build
from patter.providers.vad import VAD, VADModel
from patter.records import VADRecord

if TYPE_CHECKING:
    from patter.audio.formats import Encoding
    from patter.call.listening import SpeechDetector
    from patter.call.pacer import Pacer
    from patter.call.plan import Part
    from patter.call.vad_source import OnEvent, OnFailure
    from patter.environment import Clock
    from patter.plugins import PluginManager
    from patter.providers.context import ProviderContext

#: rates that every simple VAD takes (SP-13)
SIMPLE_RATES = (8000, 16000)


class VADSource(Protocol):
    """Where calls get their slots."""

    rate: int

    def open(
        self, encoding: Encoding, on_event: OnEvent, on_failure: OnFailure | None = None
    ) -> SpeechDetector:
        """A slot for one call."""


class VADSources:
    """Made at the first call that needs one, kept until the phone disconnects."""

    def __init__(self, manager: PluginManager, context: ProviderContext, pacer: Pacer, clock: Clock) -> None:
        self._manager = manager
        self._context = context
        self._pacer = pacer
        self._clock = clock
        self._sources: dict[tuple[str, str, int], VADSource] = {}
        self._models: list[VADModel] = []

    def source(self, part: Part, carrier_rate: int) -> VADSource:
        """The source for a VAD at the carrier's rate if it takes that, else at its best rate."""
        record = part.resolved.record
        key = (record.name, part.key, carrier_rate)
        source = self._sources.get(key)
        if source is None:
            batched = isinstance(record, VADRecord) and record.batch
            source = self._bank(part, carrier_rate) if batched else self._simple(part, carrier_rate)
            self._sources[key] = source
        return source

    def _bank(self, part: Part, carrier_rate: int) -> VADSource:
        model = cast("VADModel", build(self._manager, part.resolved, self._context, sources=part.sources))
        self._models.append(model)
        rate = carrier_rate if carrier_rate in model.rates else model.rates[0]
        bank = VADBank(model, rate, self._clock)
        self._pacer.add_batch(bank)
        return bank

    def _simple(self, part: Part, carrier_rate: int) -> VADSource:
        def make() -> VAD:
            return cast("VAD", build(self._manager, part.resolved, self._context, sources=part.sources))

        return SimpleVAD(make, carrier_rate if carrier_rate in SIMPLE_RATES else SIMPLE_RATES[0])

    def close(self) -> None:
        """Close the models."""
        self._pacer.remove_batches()
        for model in self._models:
            model.close()
        self._models.clear()
        self._sources.clear()
