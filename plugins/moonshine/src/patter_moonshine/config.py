"""What can be set about the recogniser of a call."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_PART_MS = 8000


class MoonshineConfig(BaseModel):
    """Where segments are cut and how often an open one is decoded. All times are in ms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Literal["tiny-en"] = Field(
        default="tiny-en", description="the model that is in the moonshine-voice wheel"
    )
    padding_ms: int = Field(default=300, ge=0, le=1000, description="audio kept before and after the speech")
    vad_start_delay_ms: int = Field(
        default=250, ge=0, le=2000, description="how long the VAD listens before it reports speech"
    )
    vad_end_delay_ms: int = Field(
        default=400,
        ge=0,
        le=5000,
        description="how long the VAD waits after the last speech before it reports the end",
    )
    interim_interval_ms: int = Field(
        default=300, ge=100, le=5000, description="least time between two decodes of an open segment"
    )
