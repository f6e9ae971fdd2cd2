"""The figures of a whole call (MX-07, MX-11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from patter.metrics.percentiles import Distribution, distribution
from patter.metrics.reports import InterruptionMetrics
from patter.metrics.turns import COMPONENTS, TurnMetrics


@dataclass(frozen=True, slots=True)
class ProviderNames:
    """Who took part, each by the name of its record; "" for nobody."""

    stt: str = ""
    tts: str = ""
    llm: str = ""
    realtime: str = ""
    telephony: str = ""


@dataclass(frozen=True, slots=True)
class CallMetrics:
    """The latency of a call.

    Attributes:
        turns: every agent turn, in order.
        components: average and percentiles of each of `patter.metrics.COMPONENTS`, over the answers that were heard
            whole; None and zero are left out (MX-05).
        bargein: those of `bargein_ms`, over the turns that were interrupted, which enter nothing else.
        interruptions: how often the agent was interrupted.
        backchannels: what was said over the agent without interrupting it.
        overlaps: the interruptions, in order (MX-07).
        endpoint_signal_missing_count: answers without an end-of-speech signal before them.
        providers: who took part.
    """

    turns: tuple[TurnMetrics, ...] = ()
    components: Mapping[str, Distribution] = field(default_factory=dict)
    bargein: Distribution = field(default_factory=Distribution)
    interruptions: int = 0
    backchannels: int = 0
    overlaps: tuple[InterruptionMetrics, ...] = ()
    endpoint_signal_missing_count: int = 0
    providers: ProviderNames = field(default_factory=ProviderNames)

    @property
    def turn_count(self) -> int:
        """How many turns the agent had, those that were interrupted included."""
        return len(self.turns)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, as it stands in the metrics of a call's summary."""
        return {
            "turn_count": self.turn_count,
            "interruptions": self.interruptions,
            "backchannels": self.backchannels,
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
            "endpoint_signal_missing_count": self.endpoint_signal_missing_count,
            "providers": asdict(self.providers),
            "latency": {
                **{name: figures.as_dict() for name, figures in self.components.items()},
                "bargein_ms": self.bargein.as_dict(),
            },
            "turns": [turn.as_dict() for turn in self.turns],
        }


def call_metrics(
    turns: Sequence[TurnMetrics],
    *,
    overlaps: Sequence[InterruptionMetrics] = (),
    backchannels: int = 0,
    providers: ProviderNames | None = None,
) -> CallMetrics:
    """The figures of a call from those of its turns."""
    counted = [turn for turn in turns if turn.counts]
    return CallMetrics(
        turns=tuple(turns),
        components={name: distribution(getattr(turn, name) for turn in counted) for name in COMPONENTS},
        bargein=distribution(turn.bargein_ms for turn in turns),
        interruptions=len(overlaps),
        backchannels=backchannels,
        overlaps=tuple(overlaps),
        endpoint_signal_missing_count=sum(not turn.has_end_of_speech for turn in turns),
        providers=providers or ProviderNames(),
    )
