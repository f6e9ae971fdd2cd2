"""The settings that lead to a vendor."""

from __future__ import annotations

import pytest

from patter.errors import ConfigError
from patter.plugins.configuration import ProviderConfig
from patter.plugins.vendor_fields import ApiKey, BaseUrl, socket_address


class Account(ProviderConfig):
    base_url: BaseUrl = "https://api.example"
    api_key: ApiKey


def test_what_leads_to_a_vendor_is_cleaned():
    account = Account(base_url="http://api.example/v1/", api_key=" key_a\n")
    assert (account.base_url, account.api_key.get_secret_value()) == ("http://api.example/v1", "key_a")
    assert socket_address(account.base_url) == "ws://api.example/v1"
    assert socket_address(Account(api_key="key_a").base_url) == "wss://api.example"


@pytest.mark.parametrize(
    "settings",
    [
        *({"base_url": f"wss://{rest}"} for rest in ("x.example", "")),
        *(
            {"base_url": f"https://{rest}"}
            for rest in ("", "key_a@x.example", "x.example?key=key_a", "x#key_a")
        ),
        {"base_url": "https://x.example/" + "a" * 2_000},
        *({"api_key": key} for key in (" ", "key_a\r\nb", "key_é")),
    ],
)
def test_what_leads_nowhere_is_refused_and_not_quoted(settings):
    with pytest.raises(ConfigError) as caught:
        Account(**{"api_key": "key_a", **settings})
    assert "key_" not in str(caught.value).replace("api_key", "")
