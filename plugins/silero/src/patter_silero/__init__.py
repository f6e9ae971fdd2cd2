"""Voice activity detection with Silero on onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable

from patter import VADRecord, hookimpl


@hookimpl
def patter_register_vad() -> Iterable[VADRecord]:
    """The VAD ``silero``."""
    return [
        VADRecord(
            "silero",
            "patter_silero.model:SileroModel",
            config="patter_silero.config:SileroConfig",
            batch=True,
            prices="free",
            phone_preset={"activation": 0.8, "deactivation": 0.65},
            description="Silero VAD at 8 or 16 kHz, one model for all calls",
        )
    ]
