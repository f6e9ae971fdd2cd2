"""The address under which a carrier reaches this server."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import quote, urlencode, urlsplit

from patter.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine's loopback, by name or by address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class PublicAddress:
    """The base of all URLs that a carrier calls.

    It comes from the configuration and never from a request (SC-02). On loopback it may be plain http, and may be
    settled after listening, when the port is known.
    """

    def __init__(self, url: str | None = None) -> None:
        self._base = ""
        self._secure = True
        if url is not None:
            self.settle(url)

    @property
    def known(self) -> bool:
        """Whether there is an address yet."""
        return bool(self._base)

    def settle(self, url: str) -> None:
        """Set the address, such as ``https://voice.example.com`` or ``http://127.0.0.1:8000``.

        Raises:
            ConfigError: it is no http(s) address, has a query, fragment or user, or is plain http beyond loopback.
        """
        self._base, self._secure = _checked(url)

    @property
    def base(self) -> str:
        """The address without a slash at the end. Raises `ConfigError` while it is not known."""
        if not self._base:
            raise ConfigError(
                "no public address is known for this phone: set webhook_url to the https address at which the "
                "carrier reaches this server"
            )
        return self._base

    def webhook(self, carrier: str, name: str, **query: str) -> str:
        """The URL of a carrier's webhook."""
        url = f"{self.base}/webhooks/{quote(carrier, safe='')}/{quote(name, safe='')}"
        return f"{url}?{urlencode(query)}" if query else url

    def stream(self, carrier: str, token: str) -> str:
        """The ``wss://`` (on loopback perhaps ``ws://``) URL of a media connection."""
        return f"{self._websocket_base()}/ws/{quote(carrier, safe='')}/{quote(token, safe='')}"

    def of_request(self, path: str, *, websocket: bool = False) -> str:
        """The URL that a carrier called, from the path and query as they arrived."""
        return (self._websocket_base() if websocket else self.base) + path

    def _websocket_base(self) -> str:
        return ("wss" if self._secure else "ws") + self.base[len("https" if self._secure else "http") :]


def _checked(url: str) -> tuple[str, bool]:
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ConfigError(f"webhook_url is no address: {url[:200]!r}") from None
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    if parts.scheme not in ("http", "https") or _HOST.fullmatch(host) is None:
        raise ConfigError(
            "webhook_url is an address such as https://voice.example.com, without a user or spaces"
        )
    if parts.query or parts.fragment or not re.fullmatch(r"[A-Za-z0-9._~/%-]*", parts.path):
        raise ConfigError("webhook_url has a plain path at most: no query, no fragment")
    secure = parts.scheme == "https"
    if not secure and not is_loopback(host):
        raise ConfigError(
            "webhook_url must be https: carriers send call data to it (plain http is for loopback only)"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", secure
