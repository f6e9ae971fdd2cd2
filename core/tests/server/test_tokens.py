"""Single-use media tokens."""

from __future__ import annotations

import pytest

from patter.environment import Environment
from patter.errors import CallRefusedError
from patter.server import tokens as tokens_module
from patter.server.tokens import MediaTokens


class SteppedClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def minted(ttl_s: float = 60.0) -> tuple[MediaTokens, SteppedClock]:
    clock = SteppedClock()
    return MediaTokens(Environment.seeded(1, clock), ttl_s), clock


def test_a_token_works_once_and_for_its_carrier_only() -> None:
    tokens, _ = minted()
    token = tokens.mint("call_1", "twilio")

    assert tokens.take(token, "telnyx") is None
    assert tokens.take(token[:-1], "twilio") is None
    assert tokens.take(token, "twilio") == "call_1"
    assert tokens.take(token, "twilio") is None


def test_a_token_expires() -> None:
    tokens, clock = minted(ttl_s=60.0)
    early, kept = tokens.mint("call_1", "twilio"), tokens.mint("call_2", "twilio")

    clock.now += 59.9
    assert tokens.take(kept, "twilio") == "call_2"
    clock.now += 0.1
    assert tokens.take(early, "twilio") is None
    assert len(tokens) == 0


def test_tokens_are_long_and_differ() -> None:
    tokens, _ = minted()

    made = {tokens.mint("call_1", "twilio") for _ in range(100)}

    assert len(made) == 100
    assert all(len(token) == 64 for token in made)


def test_the_tokens_of_an_ended_call_are_revoked() -> None:
    tokens, _ = minted()
    first, second, other = (tokens.mint(call, "twilio") for call in ("call_1", "call_1", "call_2"))

    tokens.revoke("call_1")

    assert tokens.take(first, "twilio") is None
    assert tokens.take(second, "twilio") is None
    assert tokens.take(other, "twilio") == "call_2"


def test_tokens_that_nobody_uses_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MOST_OUTSTANDING", 3)
    tokens, clock = minted(ttl_s=60.0)
    for _ in range(3):
        tokens.mint("call_1", "twilio")

    with pytest.raises(CallRefusedError):
        tokens.mint("call_2", "twilio")
    clock.now += 60
    tokens.mint("call_2", "twilio")

    assert len(tokens) == 1


@pytest.mark.parametrize("token", ["", "\ud800", "é", "a" * 100_000])
def test_any_text_may_be_offered_as_a_token(token: str) -> None:
    assert minted()[0].take(token, "twilio") is None


def test_no_token_is_kept_or_shown() -> None:
    tokens, _ = minted()
    token = tokens.mint("call_1", "twilio")

    assert token not in repr(vars(tokens))
