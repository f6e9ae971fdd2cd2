"""Suites that prove a provider: subclass the one of its kind, name the provider, run pytest.

See `patter.testing.conformance.common.Conformance` for how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patter.testing.conformance.barge_in import BargeInConformance as BargeInConformance
    from patter.testing.conformance.carrier import CarrierConformance as CarrierConformance
    from patter.testing.conformance.common import Conformance as Conformance
    from patter.testing.conformance.llm import LLMConformance as LLMConformance
    from patter.testing.conformance.noise_filter import NoiseFilterConformance as NoiseFilterConformance
    from patter.testing.conformance.stt import STTConformance as STTConformance
    from patter.testing.conformance.tts import TTSConformance as TTSConformance
    from patter.testing.conformance.vad import VADConformance as VADConformance

_HOMES = {
    "BargeInConformance": "barge_in",
    "CarrierConformance": "carrier",
    "Conformance": "common",
    "LLMConformance": "llm",
    "NoiseFilterConformance": "noise_filter",
    "STTConformance": "stt",
    "TTSConformance": "tts",
    "VADConformance": "vad",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - sorted from the table of lazy names


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'patter.testing.conformance' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"patter.testing.conformance.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
