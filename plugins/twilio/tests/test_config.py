"""The configuration: addresses, what cannot work, and no secret shown."""

from __future__ import annotations

import pytest
from twilio.rest import Client
from twilio_account import ACCOUNT, KEY, SECRETS

from patter_twilio.config import TwilioConfig


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://api.twilio.com"),
        ({"region": "ie1"}, "https://api.ie1.twilio.com"),
        ({"region": "ie1", "edge": "dublin"}, "https://api.dublin.ie1.twilio.com"),
        ({"edge": "dublin"}, "https://api.dublin.us1.twilio.com"),
        ({"base_url": "http://127.0.0.1:9/"}, "http://127.0.0.1:9"),
    ],
)
def test_the_address_follows_region_and_edge_as_in_twilios_client(settings: dict[str, str], url: str) -> None:
    config = TwilioConfig(account_sid=ACCOUNT, **settings)  # type: ignore[arg-type]

    assert config.api_url == url
    if "base_url" not in settings:
        assert Client(ACCOUNT, "x", **settings).get_hostname("https://api.twilio.com") == url  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"account_sid": "AC1"},
        {"account_sid": ACCOUNT, "api_key_sid": KEY},
        {"account_sid": ACCOUNT, "shared_key_secret": SECRETS[0]},
        {"account_sid": ACCOUNT, "surprise": SECRETS[0]},
        {"account_sid": ACCOUNT, "base_url": "https://user:the-auth-token@h"},
        {"account_sid": ACCOUNT, "region": "a.b"},
    ],
)
def test_a_configuration_that_cannot_work_is_refused_without_showing_secrets(
    settings: dict[str, str],
) -> None:
    with pytest.raises(ValueError) as caught:
        TwilioConfig(**settings)  # type: ignore[arg-type]

    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_configuration_never_shows_its_secrets() -> None:
    config = TwilioConfig(
        account_sid=ACCOUNT,
        auth_token=SECRETS[0],  # type: ignore[arg-type]
        api_key_sid=KEY,
        api_key_secret=SECRETS[1],  # type: ignore[arg-type]
    )

    assert not any(secret in f"{config!r}{config}" for secret in SECRETS)
