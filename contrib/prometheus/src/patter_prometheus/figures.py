"""The figures: names, labels and buckets. Durations are seconds, amounts US dollars.

Labels have few values each: no number, id, text or URL of a call is among them.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: upper bounds of the latency of turns and its parts, in s
LATENCY_S: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
#: of how late the loop is, in s
LAG_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
#: of the length of calls, in s
CALL_S: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)


class Figures:
    """What is counted as it happens; what is the case now is read when it is asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "patter_calls",
            "Calls that are over, by how they ended; connected says whether their media was up.",
            ("direction", "outcome", "connected"),
            registry=registry,
        )
        self.call_seconds = Histogram(
            "patter_call_duration_seconds",
            "How long the media of connected calls was up.",
            ("direction",),
            buckets=CALL_S,
            registry=registry,
        )
        self.errors = Counter(
            "patter_provider_errors",
            "Failures of a part of a call.",
            ("kind", "provider", "error"),
            registry=registry,
        )
        self.cost = Counter(
            "patter_cost_usd",
            "What calls cost when they ended, as far as prices are known.",
            ("kind", "provider"),
            registry=registry,
        )
        self.turns = TurnFigures(registry)
        self.loop = LoopFigures(registry)


class TurnFigures:
    """Of the turns of the agent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.count = Counter(
            "patter_turns",
            "Turns of the agent that are over, by what they were and whether they were interrupted.",
            ("kind", "interrupted"),
            registry=registry,
        )
        self.latency = Histogram(
            "patter_turn_latency_seconds",
            "From the end of the caller's speech to the first audio of the answer.",
            buckets=LATENCY_S,
            registry=registry,
        )
        self.parts = Histogram(
            "patter_turn_part_seconds",
            "What the caller waited for in a turn, by part; the parts of a turn add up to the whole.",
            ("part",),
            buckets=LATENCY_S,
            registry=registry,
        )
        self.interruptions = Counter(
            "patter_interruptions",
            "Times the caller spoke over the agent, by what became of it.",
            ("outcome",),
            registry=registry,
        )


class LoopFigures:
    """Of the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Histogram(
            "patter_event_loop_lag_seconds",
            "How late the event loop is, measured twice a second.",
            buckets=LAG_S,
            registry=registry,
        )
        self.longest_lag = Gauge(
            "patter_event_loop_lag_max_seconds",
            "The most that the event loop was late since this was last read.",
            registry=registry,
        )
