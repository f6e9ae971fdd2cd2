"""What may be quoted."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.redaction import LONGEST_QUOTE, mask_number, redact

KEY = "sk-proj-Abc123Def456Ghi789"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("call +15550001234 now", "call ***1234 now"),
        ("call +1 (555) 000-1234 now", "call ***1234 now"),
        ("call 15550001234 now", "call ***1234 now"),
        ("call (555) 000-1234, please", "call ***1234, please"),
        ("call 555-000-1234", "call ***1234"),
        ("+49 30 1234567", "***4567"),
        ("on 2026-11-23 at 10:30, room 4711", "on 2026-11-23 at 10:30, room 4711"),
        ("it costs 3.14159265358979", "it costs 3.14159265358979"),
        ("call_5f0c1234567890123", "call_5f0c1234567890123"),
    ],
)
def test_phone_numbers_keep_their_last_4_digits(text: str, quoted: str) -> None:
    assert redact(text) == quoted


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: {KEY}.",
        f"Authorization: Bearer {KEY}",
        f'{{"api_key": "{KEY}"}}',
        f"https://user:{KEY}@example.com/",
        f"https://example.com/?token={KEY}&x=1",
        f"X-Twilio-Signature: {KEY}",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    assert KEY not in redact(text)
    assert "Abc123" not in redact(text)


def test_known_secrets_are_masked_in_every_spelling() -> None:
    secrets = ["open sesame/42", "open sesame"]
    assert redact("it is open sesame/42, I say", secrets) == "it is ***, I say"
    assert redact("x=open%20sesame%2F42", secrets) == "x=***"
    assert redact("a b", ["a"]) == "a b"
    assert redact("nothing", [""]) == "nothing"


def test_a_secret_at_the_cut_leaves_no_beginning() -> None:
    for before in range(LONGEST_QUOTE - 30, LONGEST_QUOTE + 1):
        assert "sesame" not in redact("." * before + "sesame-open-42", ["sesame-open-42"])


def test_lines_cannot_be_forged() -> None:
    assert redact("a\r\nERROR forged\x1b[31m\u2028b") == "a ERROR forged [31m b"
    assert redact("a\u202eb") == "a b"


@given(text=st.text(st.characters(), max_size=500), secret=st.text(min_size=4, max_size=20))
def test_every_quote_is_one_short_line(text: str, secret: str) -> None:
    quoted = redact(text, [secret])
    assert len(quoted) <= LONGEST_QUOTE
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in quoted)


@given(
    key=st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH-_", min_size=8, max_size=40), around=st.text(max_size=300)
)
def test_a_known_secret_is_never_quoted(key: str, around: str) -> None:
    assert key not in redact(f"{around}{key}{around}", [key])


@pytest.mark.parametrize(
    "text", ["+1" * 50_000, "1 " * 50_000, "(555) " * 20_000, "token" * 20_000, "a" * 10_000_000]
)
def test_no_text_takes_long(text: str) -> None:
    started = time.perf_counter()
    redact(text, ["sesame"])
    assert time.perf_counter() - started < 1.0


def test_anything_can_be_quoted() -> None:
    assert redact(ValueError("no +15550001234")) == "no ***1234"


@pytest.mark.parametrize(
    ("number", "masked"), [("+15550001234", "***1234"), ("1234", "***"), ("", "***"), ("sip:a@b", "***")]
)
def test_masks_a_number(number: str, masked: str) -> None:
    assert mask_number(number) == masked
