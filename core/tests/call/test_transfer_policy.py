"""Where a call may be transferred to."""

from __future__ import annotations

from typing import Any

import pytest

from patter.call.transfer_policy import TransferPolicy
from patter.errors import ConfigError, InputError

NUMBER = "+15550001234"


def allowed(policy: TransferPolicy, number: str) -> bool:
    try:
        return policy.check(number) == number
    except InputError:
        return False


@pytest.mark.parametrize(
    "number",
    ["", "15550001234", "+05550001234", "+1555", "+1555000123456789", "+1 555 000 1234", "+1555000123a", "tel:+15550001234",
     "+１５５５０００１２３４", "sip:desk@example.com", "+15550001234;ext=1", None, 15550001234],
)  # fmt: skip
def test_only_international_numbers(number: Any) -> None:
    with pytest.raises(InputError, match="international form"):
        TransferPolicy().check(number)


def test_sip_addresses_where_the_carrier_reaches_them() -> None:
    assert TransferPolicy(sip=True).check("sip:desk@example.com:5060") == "sip:desk@example.com:5060"
    for bad in ("sip:@example.com", "sip:desk@", "sip:desk@example.com\r\nX: y", "sip:" + "a" * 100 + "@b"):
        with pytest.raises(InputError):
            TransferPolicy(sip=True).check(bad)


@pytest.mark.parametrize(
    ("numbers", "prefixes", "free", "denied"),
    [
        (None, None, [NUMBER, "+4930123456"], []),
        ([], None, [], [NUMBER]),
        (None, [], [], [NUMBER]),
        ([], [], [], [NUMBER]),
        ([NUMBER], None, [NUMBER], ["+15550001235", "+155500012345"]),
        (None, ["+1555"], [NUMBER], ["+15660001234"]),
        ([NUMBER], ["+49"], [NUMBER, "+4930123456"], ["+15550001235"]),
        ([NUMBER], [], [NUMBER], ["+15550001235"]),
    ],
)
def test_unset_allows_all_and_empty_denies_all(
    numbers: Any, prefixes: Any, free: list[str], denied: list[str]
) -> None:
    policy = TransferPolicy(numbers, prefixes)
    assert all(allowed(policy, number) for number in free)
    assert not any(allowed(policy, number) for number in denied)


def test_a_refusal_shows_no_whole_number() -> None:
    with pytest.raises(InputError) as caught:
        TransferPolicy([]).check(NUMBER)
    assert str(caught.value) == "calls may not be transferred to ***1234"


def test_the_lists_are_checked_when_they_are_written() -> None:
    with pytest.raises(ConfigError, match="transfer_allowed_numbers"):
        TransferPolicy(["0800 123"])
    for prefix in ("", "1555", "+", "+0", "+1x"):
        with pytest.raises(ConfigError, match="transfer_allowed_prefixes"):
            TransferPolicy(None, [prefix])
