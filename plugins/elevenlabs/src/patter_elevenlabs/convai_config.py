"""What can be set about an agent of Conversational AI."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator

from patter.plugins.configuration import ProviderConfig
from patter.plugins.vendor_fields import BaseUrl, socket_address

ELEVENLABS: Final = "https://api.elevenlabs.io"


class ElevenLabsConvaiConfig(ProviderConfig):
    """An agent that exists at the vendor, and what a call changes of it.

    Whatever a call changes has to be allowed in the agent's security settings (overrides). The encoding of its audio
    cannot be changed by a call: set it to ``ulaw_8000``, both ways, in the agent.
    """

    agent_id: str = Field(
        min_length=1, max_length=200, pattern=r"^[\w.-]+$", description="id of the agent: agent_..."
    )
    api_key: SecretStr | None = Field(
        default=None, description="key of the vendor; an agent that is public needs none"
    )
    base_url: BaseUrl = Field(
        default=ELEVENLABS,
        description="address of the API; a residency has its own: https://api.eu.residency.elevenlabs.io",
    )
    hosted_prompt: bool = Field(
        default=False, description="keep the agent's own prompt; the system prompt of the call is not sent"
    )
    llm: str | None = Field(default=None, min_length=1, max_length=200, description="another language model")
    voice_id: str | None = Field(default=None, min_length=1, max_length=200, description="another voice")
    user_id: str | None = Field(
        default=None, max_length=200, description="who is called, for the vendor's lists"
    )
    dynamic_variables: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="values for the {{variables}} of the agent"
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="more fields for a language model of your own, as they are"
    )

    @field_validator("api_key")
    @classmethod
    def _is_header(cls, value: SecretStr | None) -> SecretStr | None:
        key = value.get_secret_value().strip() if value is not None else ""
        if not key.isascii() or not key.isprintable():
            raise ValueError("holds characters that no key has")
        return SecretStr(key) if key else None

    @property
    def socket_url(self) -> str:
        """Where conversations with the agent begin; holds no secret."""
        path = f"/v1/convai/conversation?agent_id={quote(self.agent_id, safe='')}"
        return f"{socket_address(self.base_url)}{path}"

    @property
    def headers(self) -> dict[str, str]:
        """Of the upgrade request; with the key, never to be shown."""
        return {"xi-api-key": self.api_key.get_secret_value()} if self.api_key is not None else {}
