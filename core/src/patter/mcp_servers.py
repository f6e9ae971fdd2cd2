"""MCP servers whose tools an agent may call (TL-06)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from patter.errors import ConfigError, InputError
from patter.outbound_addresses import check_allow_hosts, check_url

#: every call of a server's tool, its retries included, ends within this, in s (TL-09)
DEFAULT_TIMEOUT_S: Final = 15.0


class MCPServer:
    """A server that speaks the Model Context Protocol over streamable HTTP.

    Args:
        url: its endpoint, http or https; it may come from outside, so addresses that are not public are refused.
        headers: sent with every request, for example ``{"Authorization": "Bearer ..."}``.
        timeout_s: every call of one of its tools, retries included, ends within this, in s.
        allow_hosts: hosts that are reached although their address is not public.

    Raises:
        ConfigError: an address, header or time limit that cannot work.
    """

    __slots__ = ("allow_hosts", "headers", "host", "timeout_s", "url")

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        allow_hosts: Iterable[str] = (),
    ) -> None:
        try:
            self.allow_hosts = check_allow_hosts("MCP server", allow_hosts)
            target = check_url(url, self.allow_hosts)
        except InputError as error:
            raise ConfigError(f"MCP server: {error}") from None
        number: Any = timeout_s
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 3600:
            raise ConfigError(f"MCP server {target.host}: timeout_s must be a number of seconds up to 3600")
        for name, value in dict(headers or {}).items():
            if not _is_header(name) or not _is_header(value):
                raise ConfigError(f"MCP server {target.host}: headers must be texts of one line each")
        self.url = url
        self.host = target.host
        self.headers = dict(headers or {})
        self.timeout_s = float(timeout_s)

    def __repr__(self) -> str:
        return f"<MCPServer {self.host}>"


def _is_header(text: Any) -> bool:
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable()


def read_servers(given: Any) -> Any:
    """One server or several, each an `MCPServer` or a URL, as a tuple; what is neither is left for the type check."""
    if isinstance(given, str | MCPServer):
        given = (given,)
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        return given
    return tuple(MCPServer(one) if isinstance(one, str) else one for one in given)
