"""How long things took: the latency of turns by exact definitions, and what it is made of. Pure.

Moments are seconds of the call's monotonic clock, results are milliseconds.
"""

from __future__ import annotations

from patter.metrics.breakdown import Breakdown, Part, Settings, breakdown
from patter.metrics.call import CallMetrics, ProviderNames, call_metrics
from patter.metrics.percentiles import Distribution, distribution, percentile
from patter.metrics.reports import (
    EndOfUtteranceMetrics,
    InterruptionMetrics,
    LLMMetrics,
    STTMetrics,
    TTSMetrics,
)
from patter.metrics.speech import CallerTimes, SpeechAnchor
from patter.metrics.turns import (
    COMPONENTS,
    TurnMetrics,
    TurnTimes,
    speech_duration_ms,
    stt_ms,
    turn_metrics,
)

__all__ = [
    "COMPONENTS",
    "Breakdown",
    "CallMetrics",
    "CallerTimes",
    "Distribution",
    "EndOfUtteranceMetrics",
    "InterruptionMetrics",
    "LLMMetrics",
    "Part",
    "ProviderNames",
    "STTMetrics",
    "Settings",
    "SpeechAnchor",
    "TTSMetrics",
    "TurnMetrics",
    "TurnTimes",
    "breakdown",
    "call_metrics",
    "distribution",
    "percentile",
    "speech_duration_ms",
    "stt_ms",
    "turn_metrics",
]
