"""Which addresses may be connected to."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.channels.guard import FORBIDDEN, Blocked, Guard, is_address
from galaxy_notify.errors import InvalidEndpoint

OUTSIDE = ("8.8.8.8", "1.1.1.1", "99.255.255.255", "172.32.0.1", "192.0.1.1", "2606:4700::1111")
#: A first and a last address of each network that leads inside or nowhere.
INSIDE = (
    *("0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255"),
    *("127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1"),
    *("198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:0:0:1", "64:ff9b::7f00:1"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:1ff::1", "2001:db8::1", "2002:7f00:1::"),
    *(
        "3fff::1",
        "3fff:fff::1",
        "4000::",
        "5f00::1",
        "7fff::1",
        "8000::",
        "fc00::1",
        "fd00:ec2::254",
    ),
    *("fe80::1", "fec0::1", "ff02::1"),
)


@pytest.mark.parametrize("address", OUTSIDE)
def test_address__outside(address: str) -> None:
    """It is what will be connected to."""
    assert Guard().check(address) == ip_address(address)


@pytest.mark.parametrize("address", INSIDE)
def test_address__inside(address: str) -> None:
    """The text of the error does not say which it was: not to the owner of an endpoint."""
    with pytest.raises(Blocked) as failed:
        Guard().check(address)
    assert str(failed.value) == "the address is not allowed"


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f.1", "8.8.8.8 ", "08.8.8.8", "8.8.8.8/32", "2606::1%lo"]
)
def test_address__that_is_not_one(text: str) -> None:
    """What `connect` might read in a way of its own is blocked."""
    with pytest.raises(Blocked):
        Guard([f"{each}" for each in ("0.0.0.0/0", "::/0")]).check(text)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "8.8.8.8"])
def test_address__of_four_inside_six(address: str) -> None:
    """It is checked, and connected to, as IPv4."""
    mapped = f"::ffff:{address}"
    if address in OUTSIDE:
        assert Guard().check(mapped) == ip_address(address)
    else:
        with pytest.raises(Blocked):
            Guard().check(mapped)
    assert Guard([f"{address}/32"]).check(mapped) == ip_address(address)


@given(st.ip_addresses())
def test_address__of_any_kind(address: object) -> None:
    """An address is blocked if and only if it lies in a forbidden network."""
    found = ip_address(str(address))
    plain = getattr(found, "ipv4_mapped", None) or found
    forbidden = any(plain in network for network in FORBIDDEN)
    try:
        assert Guard().check(str(address)) == plain
    except Blocked:
        assert forbidden
    else:
        assert not forbidden
        assert plain.is_global


def test_allow__is_for_its_networks_only() -> None:
    """A neighbour stays forbidden."""
    guard = Guard(["10.1.0.0/16", "fd00:1::/32"])
    assert guard.check("10.1.2.3")
    assert guard.check("fd00:1::7")
    for address in ("10.2.0.1", "fd00:2::7", "127.0.0.1"):
        with pytest.raises(Blocked):
            guard.check(address)


@pytest.mark.parametrize("network", ["", "inside", "10.0.0.1/8", "10.0.0.0/33", "a.example"])
def test_allow__must_be_networks(network: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r".+"):
        Guard([network])


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://[::1]/", "https://[::ffff:a00:1]/"])
def test_endpoint__at_an_address_inside(url: str) -> None:
    """Its owner learns of it at once; the address is not repeated."""
    with pytest.raises(InvalidEndpoint, match="url: the address is not allowed"):
        Guard().endpoint(url)
    assert Guard(["127.0.0.0/8", "::1/128", "10.0.0.0/8"]).endpoint(url).port == 443


def test_endpoint__with_a_name() -> None:
    """Names are looked up only when they are connected to."""
    assert Guard().endpoint("https://localhost/").host == "localhost"
    with pytest.raises(InvalidEndpoint, match="https"):
        Guard().endpoint("http://a.example/")
    assert Guard(ports=[80], require_https=False).endpoint("http://a.example/").port == 80


def test_new_socket__is_for_what_was_checked() -> None:
    """An IPv4 address inside an IPv6 one is connected to as IPv4."""
    guard = Guard(["127.0.0.0/8", "::1/128"])
    for text, family, target in (
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("::ffff:127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("0::1", socket.AF_INET6, "::1"),
    ):
        made, to = guard.new_socket(text, 443)
        with made:
            assert (made.family, to, made.getblocking()) == (family, (target, 443), False)
    with pytest.raises(Blocked):
        guard.new_socket("10.0.0.1", 443)


def test_is_address() -> None:
    """Names are looked up, addresses are not."""
    assert [is_address(text) for text in ("8.8.8.8", "::1", "a.example", "1", "")] == [
        *(True, True, False, False, False)
    ]
