"""What can be set about the scripted dialogue."""

from __future__ import annotations

from pydantic import Field

from patter.plugins.configuration import ProviderConfig


class ScriptedConfig(ProviderConfig):
    """`path` is a dialogue of one's own; without it the shipped `booking.yaml` answers for a restaurant."""

    path: str | None = Field(default=None, description="a YAML dialogue; unset: the shipped table booking")
    token_delay_ms: int = Field(default=0, ge=0, le=5_000, description="pause before each word, in ms")
