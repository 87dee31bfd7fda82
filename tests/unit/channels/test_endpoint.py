"""The URL of an endpoint is read strictly, and sent as it is written."""

from __future__ import annotations

import pytest

from galaxy_notify.channels.endpoint import Endpoint, parse_endpoint
from galaxy_notify.errors import InvalidEndpoint

PORTS = (443, 8443)
_LONG = "a" * 64


@pytest.mark.parametrize(
    ("url", "expected", "authority"),
    [
        ("https://a.example", ("https", "a.example", 443, "/"), "a.example"),
        ("HTTPS://A.Example/", ("https", "a.example", 443, "/"), "a.example"),
        ("https://a.example:443/x", ("https", "a.example", 443, "/x"), "a.example"),
        ("https://a.example:8443/x?y", ("https", "a.example", 8443, "/x?y"), "a.example:8443"),
        ("https://a.example?y=1", ("https", "a.example", 443, "/?y=1"), "a.example"),
        ("https://a_b-c.example/a//../@b", ("https", "a_b-c.example", 443, "/a//../@b"), ""),
        (
            "https://xn--bcher-kva.example/%C3%BC?sig=a%2Bb%3D+c&%7e",
            ("https", "xn--bcher-kva.example", 443, "/%C3%BC?sig=a%2Bb%3D+c&%7e"),
            "xn--bcher-kva.example",
        ),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443, "/"), "8.8.8.8"),
        ("https://[2606:4700:0::1]/", ("https", "2606:4700::1", 443, "/"), "[2606:4700::1]"),
        ("https://1.example/", ("https", "1.example", 443, "/"), "1.example"),
        ("https://hook/", ("https", "hook", 443, "/"), "hook"),
    ],
)
def test_url__is_read(url: str, expected: tuple[str, str, int, str], authority: str) -> None:
    """Scheme and host in small letters; path and query byte for byte."""
    found = parse_endpoint(url, PORTS)
    assert found == expected
    assert found.authority == (authority or found.host)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must be ASCII"),
        ("https://", "HOST"),
        ("a.example", "HOST"),
        ("//a.example", "HOST"),
        ("https:a.example", "HOST"),
        ("ftp://a.example", "HOST"),
        ("https://a.example:", "HOST"),
        ("https://a.example:x", "HOST"),
        ("https://a.example:443:443", "HOST"),
        ("https://a.example;b", "HOST"),
        ("https://[a.example]", "HOST"),
        ("https://[::1", "HOST"),
        ("https://[fe80::1%25eth0]", "HOST"),
        ("https://a.exam%70le", "HOST"),
        ("http://a.example", "must be https"),
        ("https://a.example:80", "one of 443, 8443"),
        ("https://a.example:65999", "one of 443, 8443"),
        ("https://a b", "must be ASCII"),
        ("https://a.example/\r\nX: y", "must be ASCII"),
        ("https://a.example/\n", "must be ASCII"),
        ("https://bücher.example", "must be ASCII"),
        ("https://a.example/ü", "must be ASCII"),
        ("https://ann:secret@a.example", "user or a password"),
        ("https://@a.example", "user or a password"),
        ("https://a.example/#x", "fragment"),
        ("https://a.example\\b", "backslash"),
        ("https://a.example./", "end with a point"),
        ("https://./", "end with a point"),
        ("https://-a.example", "not a name"),
        ("https://a-.example", "not a name"),
        ("https://a..example", "not a name"),
        ("https://.example", "not a name"),
        (f"https://{_LONG}.example", "not a name"),
        (f"https://{'a.' * 127}example", "not a name"),
        ("https://127.1", "not an IPv4"),
        ("https://0x7f.1", "not an IPv4"),
        ("https://0x7f000001", "not an IPv4"),
        ("https://2130706433", "not an IPv4"),
        ("https://0177.0.0.1", "not an IPv4"),
        ("https://1.2.3.4.5", "not an IPv4"),
        ("https://a.0x", "not an IPv4"),
        ("https://[1::2::3]", "not an IPv6"),
        ("https://[1.2.3.4]", "not an IPv6"),
        (f"https://a.example/{'a' * 2000}", "at most 2000"),
    ],
)
def test_url__is_refused(url: str, why: str) -> None:
    """With the reason, which never shows what may be a secret."""
    with pytest.raises(InvalidEndpoint, match=why) as failed:
        parse_endpoint(url, PORTS)
    assert failed.value.field == "url"
    assert "secret" not in str(failed.value)


def test_http__where_it_is_allowed() -> None:
    """With its own port, which must be among those that are."""
    found = parse_endpoint("http://a.example/x", (80,), require_https=False)
    assert found == Endpoint("http", "a.example", 80, "/x")
    assert found.authority == "a.example"
    with pytest.raises(InvalidEndpoint, match="port"):
        parse_endpoint("http://a.example/x", PORTS, require_https=False)


def test_origin__is_what_connections_are_shared_by() -> None:
    """The same server in two ways of writing is one."""
    urls = ("https://A.example/x", "https://a.example:443/y?z", "HTTPS://a.EXAMPLE")
    assert {parse_endpoint(url, PORTS).origin for url in urls} == {"https://a.example:443"}
    assert parse_endpoint("https://[2606::0:1]:8443", PORTS).origin == "https://[2606::1]:8443"
