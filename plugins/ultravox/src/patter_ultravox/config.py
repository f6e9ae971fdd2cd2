"""What can be set about a call of Ultravox."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from patter.plugins.configuration import ProviderConfig
from patter.plugins.vendor_fields import ApiKey, BaseUrl

ULTRAVOX: Final = "https://api.ultravox.ai/api"


class UltravoxConfig(ProviderConfig):
    """A model, a voice, and the account that pays for them."""

    model: str = Field(default="ultravox-v0.7", min_length=1, max_length=200, description="name of the model")
    api_key: ApiKey = Field(description="key of the vendor")
    base_url: BaseUrl = Field(default=ULTRAVOX, description="address up to and with /api")
    voice: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="name or id of a voice; unset: the vendor's own",
    )
    temperature: float | None = Field(default=None, ge=0, le=1, description="unset: the vendor's own")
    max_duration_s: int = Field(default=3600, ge=1, le=86_400, description="longest call, in s")
    input_rate: Literal[8000, 16000, 24000, 48000] | None = Field(
        default=None, description="of the caller's audio, in Hz; unset: the carrier's"
    )
    output_rate: Literal[8000, 16000, 24000, 48000] | None = Field(
        default=None, description="of the agent's audio, in Hz; unset: the carrier's"
    )
    create_s: float = Field(default=8.0, gt=0, le=60, description="time until a call is made, in s")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="more fields of the call, such as vadSettings, as they are"
    )

    @property
    def key(self) -> str:
        """The key itself; never to be shown."""
        return self.api_key.get_secret_value()
