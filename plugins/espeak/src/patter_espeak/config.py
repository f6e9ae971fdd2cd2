# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be set about the voice."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

# What espeak-ng's own command-line program accepts and uses.
SLOWEST_RATE = 80
FASTEST_RATE = 450


class EspeakConfig(BaseModel):
    """The settings of an espeak-ng voice; the defaults are the engine's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voice: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9 _()/+-]{0,63}$",
        description="espeak-ng's name of the voice, such as en-us, de or en-gb+f3; by default the call's language",
    )
    rate: int = Field(default=175, ge=SLOWEST_RATE, le=FASTEST_RATE, description="words per minute")
    pitch: int = Field(default=50, ge=0, le=99, description="0 is low, 99 is high")
    volume: int = Field(default=100, ge=0, le=200, description="per cent of the engine's normal amplitude")
