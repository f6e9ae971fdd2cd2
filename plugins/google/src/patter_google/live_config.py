"""What can be set about a session of Gemini Live."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import Field

from patter.plugins.configuration import ProviderConfig
from patter.plugins.vendor_fields import ApiKey, BaseUrl, socket_address

GOOGLE: Final = "https://generativelanguage.googleapis.com"

_SERVICE: Final = "google.ai.generativelanguage"
#: the first number with a dot in a model's name is its generation
_GENERATION: Final = re.compile(r"(?<!\d)(\d{1,2})\.\d")

Sensitivity = Literal["low", "high"]


class GeminiLiveConfig(ProviderConfig):
    """A model that hears and speaks, its voice, and how it finds the caller's turns."""

    model: str = Field(
        default="gemini-3.1-flash-live-preview", min_length=1, max_length=200, description="name of the model"
    )
    api_key: ApiKey = Field(description="key of the vendor; it travels in a header, never in an address")
    base_url: BaseUrl = Field(default=GOOGLE, description="address of the API, without a path")
    api_version: Literal["v1", "v1beta", "v1alpha"] = Field(
        default="v1", description="v1alpha has fields that are in preview"
    )
    voice: str | None = Field(
        default=None, min_length=1, max_length=200, description="name of a voice; unset: the vendor's own"
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="unset: the vendor's own")
    max_output_tokens: int | None = Field(
        default=None, ge=1, le=65_536, description="longest reply, in tokens; unset: the vendor's own"
    )
    start_sensitivity: Sensitivity | None = Field(
        default=None, description="how easily sound is taken for speech; unset: the vendor's own"
    )
    end_sensitivity: Sensitivity | None = Field(
        default=None, description="how easily a pause is taken for the end of a turn; unset: the vendor's own"
    )
    prefix_padding_ms: int | None = Field(
        default=None, ge=0, le=5_000, description="speech that begins a turn, in ms; unset: the vendor's own"
    )
    silence_duration_ms: int | None = Field(
        default=None, ge=0, le=10_000, description="silence that ends a turn, in ms; unset: the vendor's own"
    )
    transcription: bool = Field(default=True, description="whether what is said is transcribed, both ways")
    compression: bool = Field(
        default=True,
        description="whether old parts of the conversation give way; without it 15 min are the most",
    )
    ask_with: Literal["auto", "realtime_input", "client_content"] = Field(
        default="auto",
        description="the message that asks for speech; auto: client_content up to models of generation 2",
    )
    connect_s: float = Field(default=8.0, gt=0, le=60, description="time until the session is open, in s")
    extra_setup: dict[str, Any] = Field(
        default_factory=dict, description="more fields of the set-up, such as proactivity, as they are"
    )

    @property
    def key(self) -> str:
        """The key itself; never to be shown."""
        return self.api_key.get_secret_value()

    @property
    def socket_url(self) -> str:
        """The address of the socket; it holds no secret."""
        service = f"{_SERVICE}.{self.api_version}.GenerativeService.BidiGenerateContent"
        return f"{socket_address(self.base_url)}/ws/{service}"

    @property
    def asks_with_content(self) -> bool:
        """Whether the model takes turns of the conversation while it runs; newer ones take them before it alone."""
        if self.ask_with != "auto":
            return self.ask_with == "client_content"
        generation = _GENERATION.search(self.model)
        return generation is not None and int(generation[1]) < 3
