"""What can be set: the server and its key, and the language model."""

from __future__ import annotations

from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from patter.plugins.configuration import ProviderConfig

OPENAI: Final = "https://api.openai.com/v1"


class OpenAIServerConfig(ProviderConfig):
    """A server and its key.

    Without a key only a server of one's own makes sense: `base_url` then names it.
    """

    api_key: SecretStr | None = Field(
        default=None, description="key of the vendor; servers of one's own need none"
    )
    base_url: str = Field(default=OPENAI, max_length=2_000, description="address up to and with /v1")

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an address such as https://api.openai.com/v1")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must hold no user name or password; the key goes into api_key")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _has_key(self) -> Self:
        if self.base_url == OPENAI and not self.key:
            raise ValueError(
                "api_key is missing: set the environment variable OPENAI_API_KEY, or base_url for a server of your own"
            )
        if any(character in self.key for character in "\r\n\0"):
            raise ValueError("api_key holds a line break")
        return self

    @property
    def key(self) -> str:
        """The key itself; never to be shown."""
        return self.api_key.get_secret_value().strip() if self.api_key is not None else ""


class OpenAIChatConfig(OpenAIServerConfig):
    """A model and the server that runs it."""

    model: str = Field(default="gpt-4.1-mini", min_length=1, max_length=200, description="name of the model")
    temperature: float | None = Field(default=None, ge=0, le=2, description="unset: the server's own")
    max_tokens: int | None = Field(
        default=None, ge=1, description="longest reply, in tokens; unset: the server's own"
    )
    first_token_s: float = Field(
        default=15.0, gt=0, le=600, description="time to the first token, in s (LM-08)"
    )
    silence_s: float = Field(default=10.0, gt=0, le=600, description="longest pause within a reply, in s")
    include_usage: bool = Field(
        default=True, description="ask for the token counts; a few old servers refuse to"
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="more fields of the request, as they are"
    )
