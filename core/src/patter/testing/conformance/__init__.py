"""Suites that prove a provider: subclass the one of its kind, name the provider, run pytest.

See `patter.testing.conformance.common.Conformance` for how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from patter.testing.conformance.barge_in import BargeInConformance as BargeInConformance
    from patter.testing.conformance.carrier import CarrierConformance as CarrierConformance
    from patter.testing.conformance.common import Conformance as Conformance
    from patter.testing.conformance.engine_calls import EngineCallConformance as EngineCallConformance
    from patter.testing.conformance.hosted_engine import HostedEngineConformance as HostedEngineConformance
    from patter.testing.conformance.llm import LLMConformance as LLMConformance
    from patter.testing.conformance.noise_filter import NoiseFilterConformance as NoiseFilterConformance
    from patter.testing.conformance.realtime import RealtimeConformance as RealtimeConformance
    from patter.testing.conformance.stt import STTConformance as STTConformance
    from patter.testing.conformance.tts import TTSConformance as TTSConformance
    from patter.testing.conformance.vad import VADConformance as VADConformance

_HOMES = {
    "BargeInConformance": "patter.testing.conformance.barge_in",
    "CarrierConformance": "patter.testing.conformance.carrier",
    "Conformance": "patter.testing.conformance.common",
    "EngineCallConformance": "patter.testing.conformance.engine_calls",
    "HostedEngineConformance": "patter.testing.conformance.hosted_engine",
    "LLMConformance": "patter.testing.conformance.llm",
    "NoiseFilterConformance": "patter.testing.conformance.noise_filter",
    "RealtimeConformance": "patter.testing.conformance.realtime",
    "STTConformance": "patter.testing.conformance.stt",
    "TTSConformance": "patter.testing.conformance.tts",
    "VADConformance": "patter.testing.conformance.vad",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - sorted from the table of lazy names

if not TYPE_CHECKING:  # so that a type checker still knows a wrong name
    __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
