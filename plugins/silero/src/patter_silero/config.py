"""What can be set about Silero."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: how far below the activation speech may fall when nothing else is said, and the least that this may give
HYSTERESIS = 0.15
LEAST_DEACTIVATION = 0.01


class SileroConfig(BaseModel):
    """Thresholds on the model's speech probability, and how long speech and silence must last (SP-14).

    Speech starts with a window of at least `activation` and is reported once it has lasted `min_speech_ms` with no
    window below `deactivation`. It ends with a window below `deactivation` and is reported once `min_silence_ms`
    have passed with no window of at least `activation`. Lower `min_speech_ms` for quicker barge-ins, at the price of
    more false ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    activation: float = Field(default=0.5, gt=0, lt=1, description="probability at which speech starts")
    deactivation: float | None = Field(
        default=None, gt=0, lt=1, description="probability below which speech ends; None: activation - 0.15"
    )
    min_speech_ms: int = Field(default=250, ge=0, le=5_000, description="speech before it is reported, in ms")
    min_silence_ms: int = Field(
        default=400, ge=0, le=10_000, description="silence before the end is reported, in ms"
    )
    weights: Path | None = Field(
        default=None, description="an ONNX file of Silero v5 or v6 to use instead of the one in this package"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SileroConfig:
        if self.deactivation is not None and self.deactivation > self.activation:
            raise ValueError(
                f"deactivation ({self.deactivation}) is above activation ({self.activation}): "
                "speech would end as soon as it starts"
            )
        return self

    @property
    def end_threshold(self) -> float:
        """The deactivation in force."""
        if self.deactivation is not None:
            return self.deactivation
        return max(self.activation - HYSTERESIS, LEAST_DEACTIVATION)
