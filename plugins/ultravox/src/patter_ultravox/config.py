"""What can be set about a call of Ultravox."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from patter.plugins.configuration import ProviderConfig

ULTRAVOX: Final = "https://api.ultravox.ai/api"


class UltravoxConfig(ProviderConfig):
    """A model, a voice, and the account that pays for them."""

    model: str = Field(default="ultravox-v0.7", min_length=1, max_length=200, description="name of the model")
    api_key: SecretStr = Field(description="key of the vendor")
    base_url: str = Field(default=ULTRAVOX, max_length=2_000, description="address up to and with /api")
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

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://api.ultravox.ai/api")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must hold no user name or password; the key goes into api_key")
        if parts.query or parts.fragment:
            raise ValueError("must hold no query")
        return value.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _is_header(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value().strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError("is empty, or holds characters that no key has")
        return SecretStr(key)

    @property
    def key(self) -> str:
        """The key itself; never to be shown."""
        return self.api_key.get_secret_value()
