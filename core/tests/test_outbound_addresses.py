"""Which addresses may be named by a tool, a webhook or an MCP server."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.errors import InputError
from patter.outbound_addresses import PORTS, check_allow_hosts, check_url, is_public

INSIDE_V4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
]
INSIDE_V6 = [
    "::",
    "::1",
    "::7f00:1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "2001::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "64:ff9b:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
]
OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "172.32.0.1",
    "2606:4700::1111",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
]

inside_v4 = st.sampled_from(INSIDE_V4).map(IPv4Address)
any_v4 = st.ip_addresses(v=4)


def base(number: int, kind: str) -> str:
    return {"decimal": str(number), "octal": f"0{number:o}", "hex": f"0x{number:x}", "HEX": f"0X{number:X}"}[
        kind
    ]


@st.composite
def spellings(draw: st.DrawFn, addresses: st.SearchStrategy[IPv4Address] = any_v4) -> tuple[IPv4Address, str]:
    """An IPv4 address as 1 to 4 numbers of mixed bases, as the C library reads them, with odds and ends."""
    address = draw(addresses)
    count = draw(st.integers(1, 4))
    octets = list(address.packed)
    numbers = [*octets[: count - 1], int.from_bytes(address.packed[count - 1 :])]
    kinds = st.sampled_from(["decimal", "octal", "hex", "HEX"])
    text = ".".join(base(number, draw(kinds)) for number in numbers)
    return address, text + draw(st.sampled_from(["", "", "."]))


@pytest.mark.parametrize("address", INSIDE_V4 + INSIDE_V6)
@pytest.mark.parametrize("scheme", PORTS)
def test_what_is_not_of_the_public_internet_is_refused(scheme: str, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    for url in (f"{scheme}://{host}", f"{scheme}://{host}:8080/x?y=z", f"{scheme.upper()}://{host.upper()}/"):
        with pytest.raises(InputError, match="not a public address"):
            check_url(url, schemes=PORTS)


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_taken(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    target = check_url(f"https://{host}/hook")
    assert target.address == ip_address(address)
    assert (target.scheme, target.port, target.trusted) == ("https", 443, False)


@given(spellings())
def test_no_spelling_but_the_canonical_one_is_taken(spelling: tuple[IPv4Address, str]) -> None:
    address, text = spelling
    if text == str(address) and is_public(address):
        assert check_url(f"http://{text}/").address == address
        return
    for allowed in ((), ("other.example",)):
        with pytest.raises(InputError):
            check_url(f"http://{text}/", allowed)


@given(spellings(inside_v4), st.sampled_from(["", ":80", ":8080"]), st.sampled_from(["", "/", "/a?b=c#d"]))
def test_no_spelling_of_an_inner_address_is_taken(
    spelling: tuple[IPv4Address, str], port: str, rest: str
) -> None:
    with pytest.raises(InputError):
        check_url(f"https://{spelling[1]}{port}{rest}")


@given(
    inside_v4,
    st.sampled_from(["::ffff:{}", "0:0:0:0:0:ffff:{}", "::FFFF:{}", "64:ff9b::{}", "::{}", "2002:{}::"]),
)
def test_an_inner_address_within_an_ipv6_one_is_refused(address: IPv4Address, form: str) -> None:
    number = int(address)
    dotted, groups = str(address), f"{number >> 16:x}:{number & 0xFFFF:x}"
    for embedded in (groups,) if form.endswith("}::") else (groups, dotted):
        with pytest.raises(InputError):
            check_url(f"http://[{form.format(embedded)}]/")


@given(st.one_of(any_v4, st.ip_addresses(v=6)))
def test_the_standard_library_calls_nothing_private_that_is_taken(address: IPv4Address | IPv6Address) -> None:
    """An independent table: ours may refuse more, never less."""
    if is_public(address):
        plain = address
        if isinstance(address, IPv6Address):
            plain = address.ipv4_mapped or address
            if address in ip_network("64:ff9b::/96"):
                plain = IPv4Address(int(address) & 0xFFFFFFFF)
        assert plain.is_global
        assert not plain.is_private
        assert not plain.is_loopback
        assert not plain.is_link_local
        assert not plain.is_multicast


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "ftp://hooks.example/",
        "//hooks.example/",
        "hooks.example",
        "javascript:alert(1)",
        "",
        "http://",
        "http:///path",
        "http:hooks.example",
        "http://user@hooks.example/",
        "http://user:secret@hooks.example/",
        "http://hooks.example@127.0.0.1/",
        "http://127.0.0.1\\@hooks.example/",
        "http://hooks.example\\.127.0.0.1/",
        "http://hooks.example:0/",
        "http://hooks.example:65536/",
        "http://hooks.example:-1/",
        "http://hooks.example:/x y",
        "http://hooks.example/\r\nHost: inner",
        "http://hooks.example/\x00",
        "http://[::1",
        "http://[::1]evil.example/",
        "http://[fe80::1%25eth0]/",
        "http://%31%32%37.0.0.1/",
        "http://１２７.０.０.１/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
        "http://localhost/",
        "http://LOCALHOST.:80/",
        "http://db.localhost/",
        "http://127.1/",
        "http://0/",
        "http://0x7f.1/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://1.1.1.0x/",
        "http://" + "a" * 5000 + "/",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)
    assert "passwd" not in str(caught.value)


def test_schemes_are_those_that_the_caller_speaks() -> None:
    assert check_url("ws://hooks.example/", schemes=("ws", "wss")).port == 80
    with pytest.raises(InputError, match="http:// or https://"):
        check_url("wss://hooks.example/")
    with pytest.raises(InputError, match="ws:// or wss://"):
        check_url("https://hooks.example/", schemes=("ws", "wss"))
    with pytest.raises(InputError):
        check_url("ftp://hooks.example/", schemes=("ftp",))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "LocalHost"),
        ("LOCALHOST.", "localhost"),
        ("[::1]", "::1"),
        ("[::1]", "[::1]"),
        ("inner.example", "inner.example."),
    ],
)
def test_the_allow_list_admits_the_hosts_it_names(host: str, allowed: str) -> None:
    assert check_url(f"http://{host}:8000/", (allowed,)).trusted
    assert not check_url("http://outer.example/", (allowed,)).trusted
    with pytest.raises(InputError):
        check_url("http://10.0.0.1/", (allowed,))


def test_the_allow_list_admits_neither_subdomains_nor_patterns() -> None:
    for other in ("a.inner.example", "xinner.example", "inner.example.evil.example"):
        assert not check_url(f"http://{other}/", ("inner.example",)).trusted
    for bad in ("http://inner.example", "inner.example:80", "*.example", "", 5):
        with pytest.raises(InputError, match="allow_hosts"):
            check_allow_hosts("tool 'x'", [bad])
    with pytest.raises(InputError, match="allow_hosts"):
        check_allow_hosts("tool 'x'", "inner.example")


@given(st.text(max_size=60), st.sampled_from(["http://", "https://", "", "ws:"]))
def test_whatever_comes_is_checked_or_refused(text: str, scheme: str) -> None:
    try:
        target = check_url(scheme + text)
    except InputError:
        return
    assert re.fullmatch(r"[a-z0-9._:-]+", target.host)
    assert target.address is None or is_public(target.address)
