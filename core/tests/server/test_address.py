"""The public address."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import ConfigError
from patter.server.address import PublicAddress


@pytest.mark.parametrize(
    ("url", "webhook", "stream"),
    [
        (
            "https://voice.example.com",
            "https://voice.example.com/webhooks/twilio/voice",
            "wss://voice.example.com/ws/twilio/t0",
        ),
        (
            "https://voice.example.com:8443/eu/",
            "https://voice.example.com:8443/eu/webhooks/twilio/voice",
            "wss://voice.example.com:8443/eu/ws/twilio/t0",
        ),
        (
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/webhooks/twilio/voice",
            "ws://127.0.0.1:8000/ws/twilio/t0",
        ),
        ("http://[::1]:8000", "http://[::1]:8000/webhooks/twilio/voice", "ws://[::1]:8000/ws/twilio/t0"),
        ("http://localhost", "http://localhost/webhooks/twilio/voice", "ws://localhost/ws/twilio/t0"),
    ],
)
def test_urls_are_built_on_the_configured_base(url: str, webhook: str, stream: str) -> None:
    address = PublicAddress(url)

    assert address.webhook("twilio", "voice") == webhook
    assert address.stream("twilio", "t0") == stream
    assert address.of_request("/ws/twilio/t0", websocket=True) == stream


@pytest.mark.parametrize(
    "url",
    [
        "",
        "voice.example.com",
        "ftp://voice.example.com",
        "http://voice.example.com",
        "http://127.0.0.1.example.com",
        "https://user:secret@voice.example.com",
        "https://voice.example.com?x=1",
        "https://voice.example.com#x",
        "https://voice.example.com:port",
        "https://voice example.com",
        "https://",
        'https://h/"><Dial>',
        "https://h\r\nX: y",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PublicAddress(url)
    assert "secret" not in str(caught.value)


@pytest.mark.behaviour("SC-09")
@given(st.text(max_size=30, alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_value_adds_a_path_segment_or_a_parameter(value: str) -> None:
    address = PublicAddress("https://voice.example.com")

    webhook = urlsplit(address.webhook("twilio", "voice", call=value))
    assert parse_qs(webhook.query, keep_blank_values=True, strict_parsing=True) == {"call": [value]}
    assert webhook.path == "/webhooks/twilio/voice"
    stream = urlsplit(address.stream("twilio", value))
    assert (stream.path.count("/"), stream.query, stream.fragment) == (3, "", "")


def test_an_address_that_is_not_known_yet_is_an_error_that_says_what_to_set() -> None:
    address = PublicAddress()
    assert not address.known

    with pytest.raises(ConfigError, match="webhook_url"):
        address.webhook("twilio", "voice")
    with pytest.raises(ConfigError):
        address.stream("twilio", "t0")
    address.settle("http://127.0.0.1:9")
    assert address.known
    assert address.stream("twilio", "t0") == "ws://127.0.0.1:9/ws/twilio/t0"
