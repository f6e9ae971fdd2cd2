"""Watches the calls of one phone through its hooks and their events."""

from __future__ import annotations

import weakref
from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from patter import hookimpl
from patter_prometheus.figures import Figures
from patter_prometheus.loop_lag import LoopLag

if TYPE_CHECKING:
    from patter import Call, Patter
    from patter.call.types import BargeInOutcome, CallFailure, CallSummary, TurnReport

_observers: weakref.WeakKeyDictionary[Patter, PhoneObserver] = weakref.WeakKeyDictionary()


def observer_of(phone: Patter) -> PhoneObserver:
    """The one that watches that phone. Raises `KeyError` for a phone that was made without this plugin."""
    return _observers[phone]


class PhoneObserver(Collector):
    """The figures of one phone; `registry` may be given more by whoever has more to tell."""

    def __init__(self, phone: Patter) -> None:
        self._phone = weakref.ref(phone)
        self.registry = CollectorRegistry(auto_describe=True)
        self._figures = Figures(self.registry)
        self._longest_lag = 0.0
        self._figures.loop.longest_lag.set_function(self._take_longest_lag)
        self._lag = LoopLag(self._lagged)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        _observers[phone] = self

    # -- what is the case now

    def collect(self) -> Iterator[Metric]:
        """Calls in progress and what their agents are doing."""
        phone = self._phone()
        if phone is None:
            return
        calls = GaugeMetricFamily(
            "patter_active_calls", "Calls in progress, by their state.", labels=("direction", "status")
        )
        for labels, count in Tally(
            (record.direction, record.status.value) for record in phone.calls.active()
        ).items():
            calls.add_metric(labels, count)
        yield calls
        agents = GaugeMetricFamily(
            "patter_agents", "Agents on calls in progress, by what they are doing.", labels=("state",)
        )
        for state, count in Tally(line.call.agent_state for line in phone.switchboard.lines()).items():
            agents.add_metric((state,), count)
        yield agents
        yield GaugeMetricFamily(
            "patter_ready", "1 while new calls are taken.", value=float(phone.switchboard.accepting())
        )
        yield CounterMetricFamily(
            "patter_event_loop_stalls",
            "Times the event loop stood still while calls were up.",
            value=phone.stall_monitor.stalls,
        )

    def describe(self) -> list[Metric]:
        """Nothing that would need a phone that serves."""
        return []

    # -- the event loop

    @hookimpl
    def patter_startup(self) -> None:
        """Measure how late the loop is."""
        self._lag.start()

    @hookimpl
    def patter_shutdown(self) -> None:
        """Measure no more."""
        self._lag.stop()

    def _lagged(self, seconds: float) -> None:
        self._figures.loop.lag.observe(seconds)
        self._longest_lag = max(self._longest_lag, seconds)

    def _take_longest_lag(self) -> float:
        longest, self._longest_lag = self._longest_lag, 0.0
        return longest

    # -- calls

    @hookimpl
    def patter_call_setup(self, call: Call) -> None:
        """The call is connected."""
        call.on("failed", self._failed)

    def _failed(self, failure: CallFailure) -> None:
        # The first word alone: references have settings, and servers have addresses.
        provider = failure.reference.split("/")[0].split("?")[0].split(" ")[0]
        self._figures.errors.labels(failure.kind, provider, type(failure.error).__name__).inc()

    @hookimpl
    def patter_turn_ended(self, turn: TurnReport) -> None:
        """The agent's turn is over."""
        metrics = turn.metrics
        if metrics is None:
            return
        turns = self._figures.turns
        turns.count.labels(metrics.kind, str(turn.interrupted).lower()).inc()
        if metrics.latency_ms is not None:
            turns.latency.observe(metrics.latency_ms / 1000)
            for part in metrics.breakdown.parts:
                turns.parts.labels(part.name).observe(part.ms / 1000)

    @hookimpl
    def patter_barge_in(self, event: BargeInOutcome) -> None:
        """The caller spoke over the agent."""
        self._figures.turns.interruptions.labels(event.outcome).inc()

    @hookimpl
    def patter_call_ended(self, call: Call, summary: CallSummary) -> None:
        """The call is over, connected or not."""
        figures = self._figures
        figures.calls.labels(call.direction, summary.outcome.value, str(summary.connected).lower()).inc()
        if summary.connected:
            figures.call_seconds.labels(call.direction).observe(summary.duration_s)
        for line in summary.cost.lines:
            figures.cost.labels(line.kind, line.provider).inc(max(0.0, line.amount))
