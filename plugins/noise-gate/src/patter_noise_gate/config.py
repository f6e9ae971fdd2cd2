"""What can be set about the noise gate."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class NoiseGateConfig(BaseModel):
    """How much is taken away, and when.

    The gate opens for what is `threshold_db` louder than the quietest moment of the last two seconds, and closes
    `hangover_ms` after the last such sound. Closed, it lets sound through `reduction_db` weaker: speech recognition
    suffers more from words that are cut off than from noise that is left.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    high_pass_hz: float = Field(
        default=80.0, ge=0, le=300, description="what is below is weakened, in Hz; 0: off"
    )
    threshold_db: float = Field(
        default=9.0, ge=3, le=40, description="above the noise, to open the gate, in dB"
    )
    reduction_db: float = Field(default=12.0, ge=0, le=60, description="attenuation while closed, in dB")
    hangover_ms: int = Field(default=250, ge=0, le=2_000, description="open after the last loud sound, in ms")
    release_ms: int = Field(
        default=60, ge=1, le=1_000, description="length of the way from open to closed, in ms"
    )
