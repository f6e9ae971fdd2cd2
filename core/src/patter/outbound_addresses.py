"""Which addresses a tool, webhook or MCP server may name (SC-07). Pure: nothing is looked up here.

Such an address may come from a customer of whoever runs the phone, from a file or from another machine, so it must not
reach into the network that the phone stands in. The rules are strict rather than clever: a URL has plain characters, an
IP address its one canonical spelling, and an address is refused unless the internet as a whole could be behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from patter.errors import InputError

IPAddress = IPv4Address | IPv6Address

#: schemes of an outgoing address and their ports
PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LONGEST_URL: Final = 4096

_PLAIN: Final = re.compile(
    r"[!-\[\]-~]+\Z"
)  # printable ASCII without the backslash, which some readers take for "/"
_HOST_AND_PORT: Final = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?\Z")
# What ends in a number is an IPv4 address to some resolvers, in whatever base and with however few parts.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?\Z")

# The special-purpose registries of IANA (RFC 6890 and its updates), and what clouds use for their metadata. Spelt out
# because what `ipaddress` calls global has changed between versions of Python.
_NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(one)
    for one in (
        "0.0.0.0/8",  # this network; reaches the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata of Alibaba Cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, a public address inside every virtual machine
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(one)
    for one in (
        "2001::/23",  # protocol assignments, with Teredo, which carries an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which carries an IPv4 address
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# How an IPv6-only network writes the IPv4 internet (RFC 6052); its resolver answers so for public names.
_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class OutboundTarget:
    """A checked URL: `host` without brackets and in lower case; `address` when it is an IP address.

    `trusted` says that the host is on the allow-list, so that its addresses are not checked.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: IPAddress | None
    trusted: bool


def check_url(
    url: str, allow_hosts: Sequence[str] = (), *, schemes: Iterable[str] = ("http", "https")
) -> OutboundTarget:
    """The parts of an outgoing URL; a host name in it is still to be resolved, and its addresses to be checked.

    Args:
        url: as it was written.
        allow_hosts: host names and addresses that are reached wherever they are.
        schemes: those that the caller can speak.

    Raises:
        InputError: another scheme, credentials, an odd spelling, or an address that is not public; the text names the
            host and no other part of the URL.
    """
    given: Any = url  # from code that nobody may have checked
    if not isinstance(given, str) or len(url) > _LONGEST_URL or not _PLAIN.match(url):
        raise InputError(f"the address must be a URL of at most {_LONGEST_URL} plain ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("the address is not a URL") from None
    scheme, place = parts.scheme.lower(), parts.netloc.lower()
    if scheme not in schemes or scheme not in PORTS:
        raise InputError(f"the address must begin with {' or '.join(f'{one}://' for one in schemes)}")
    if "@" in place:
        raise InputError("the address must not contain a user name or a password")
    if not _HOST_AND_PORT.match(place) or port == 0:
        raise InputError("the address has no host that can be read in one way only")
    host = parts.hostname or ""
    address = _address(host)
    trusted = is_allowed(host, allow_hosts)
    if address is not None and not trusted:
        check_address(host, address)
    elif f".{_bare(host)}".endswith(".localhost") and not trusted:
        check_address(host, "127.0.0.1")  # by definition (RFC 6761)
    return OutboundTarget(url, scheme, host, port or PORTS[scheme], address, trusted)


def _address(host: str) -> IPAddress | None:
    """The IP address that `host` is, None for a name; raises `InputError` for any but the canonical spelling."""
    if ":" in host:
        try:
            return IPv6Address(host)
        except ValueError:
            raise InputError(f"{host} is not an IPv6 address") from None
    if not _ENDS_IN_NUMBER.match(host):
        return None
    try:
        address = IPv4Address(host)
    except ValueError:
        address = None
    if address is None or str(address) != host:
        raise InputError(f"{host}: an IPv4 address is written as four decimal numbers")
    return address


def is_allowed(host: str, allow_hosts: Iterable[str]) -> bool:
    """Whether a host is on the list, whatever its case, brackets or final dot."""
    return _bare(host) in {_bare(one) for one in allow_hosts}


def _bare(host: str) -> str:
    return host.lower().strip("[]").removesuffix(".")


def check_allow_hosts(owner: str, allow_hosts: Any) -> tuple[str, ...]:
    """The list as it is kept. Raises `InputError`, naming `owner`, for what is no list of host names."""
    if isinstance(allow_hosts, str) or not isinstance(allow_hosts, Iterable):
        raise InputError(f"{owner}: allow_hosts must be a list of host names")
    hosts = tuple(allow_hosts)
    for host in hosts:
        if not isinstance(host, str) or not re.fullmatch(r"[\w.-]+|\[?[0-9A-Fa-f:.]+\]?", host, re.ASCII):
            raise InputError(f"{owner}: allow_hosts: {host!r} is not a host name without scheme and port")
    return hosts


def check_address(host: str, address: str | IPAddress) -> None:
    """Raises `InputError`, naming `host`, unless the address is a public one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        raise InputError(f"{host} has an address that cannot be read") from None
    if not is_public(parsed):
        raise InputError(
            f"{host} is not a public address and is not reached; name it in allow_hosts if you trust it"
        )


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet: not loopback, private, link-local, reserved or metadata."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
