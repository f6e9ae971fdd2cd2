"""Types of the settings that lead to a vendor: the address of its servers, and the key to them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user name or password; the key goes into api_key")
    if parts.query or parts.fragment:
        raise ValueError("must hold no query; the key goes into api_key")
    return value.rstrip("/")


def _header(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("is empty, or holds characters that no key has")
    return SecretStr(key)


#: an ``http(s)://`` address without secrets in it, to which a path is added
BaseUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_address)]
#: a key that travels in a header
ApiKey = Annotated[SecretStr, AfterValidator(_header)]


def socket_address(base_url: str) -> str:
    """Where the WebSockets of the same servers are: ``wss://`` for ``https://``."""
    scheme, _, rest = base_url.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}"
