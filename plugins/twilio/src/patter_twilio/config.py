"""The settings of a Twilio account."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_SID = r"[0-9a-fA-F]{32}$"


class TwilioConfig(BaseModel):
    """A Twilio account and how its requests are checked.

    The auth token signs every webhook, so it is needed even where an API key is used for requests to Twilio.
    `shared_key_id` and `shared_key_secret` belong to webhooks signed with a SharedKey and SHA-256. `base_url` is for
    a simulator or a proxy; without it the address follows from `region` and `edge`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account_sid: str = Field(pattern="^AC" + _SID)
    auth_token: SecretStr | None = None
    api_key_sid: str | None = Field(default=None, pattern="^SK" + _SID)
    api_key_secret: SecretStr | None = None
    shared_key_id: str | None = None
    shared_key_secret: SecretStr | None = None
    require_signature: bool = True
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,32}$")
    edge: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,32}$")
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#@]+$")
    request_timeout_s: float = Field(default=10.0, gt=0, le=60)
    transfer_ring_timeout_s: int = Field(default=30, ge=1, le=600)
    voice: str | None = Field(default=None, max_length=100)
    voice_language: str | None = Field(default=None, max_length=20)

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> TwilioConfig:
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            raise ValueError("api_key_sid and api_key_secret go together: set both or neither")
        if (self.shared_key_id is None) != (self.shared_key_secret is None):
            raise ValueError("shared_key_id and shared_key_secret go together: set both or neither")
        return self

    @property
    def api_url(self) -> str:
        """The root of the REST API, without a slash at the end.

        The host is ``api.{edge}.{region}.twilio.com``, where an edge without a region means ``us1`` and a region
        without an edge has a host of its own: https://www.twilio.com/docs/global-infrastructure.
        """
        if self.base_url is not None:
            return self.base_url.rstrip("/")
        region = self.region or ("us1" if self.edge else None)
        return "https://" + ".".join(part for part in ("api", self.edge, region, "twilio.com") if part)

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User and password of HTTP Basic authentication; None when no secret is known."""
        if self.api_key_sid is not None and self.api_key_secret is not None:
            return self.api_key_sid, self.api_key_secret.get_secret_value()
        if self.auth_token is not None:
            return self.account_sid, self.auth_token.get_secret_value()
        return None
