"""A small adaptive noise gate on the caller's audio."""

from __future__ import annotations

from collections.abc import Iterable

from patter import NoiseFilterRecord, hookimpl


@hookimpl
def patter_register_noise_filter() -> Iterable[NoiseFilterRecord]:
    """The noise filter ``noise-gate``."""
    return [
        NoiseFilterRecord(
            "noise-gate",
            "patter_noise_gate.gate:NoiseGate",
            config="patter_noise_gate.config:NoiseGateConfig",
            description="High-pass and adaptive noise gate, without a model and without delay",
        )
    ]
