"""The URL of an endpoint: a strict reading of it, before anything is looked up or opened."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from galaxy_notify.errors import InvalidEndpoint

_FIELD: Final = "url"
_LONGEST_URL: Final = 2000
_PORTS: Final = {"https": 443, "http": 80}

# Nothing here is decoded or corrected: two programs that read a URL in two ways are how a check is
# passed with one host and a connection opened to another.
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:[/?][!-~]*)?)",
    re.IGNORECASE,
)
_VISIBLE: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)"
)
#: What some programs read as a number: such a name must be an IPv4 address.
_NUMERIC: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class Endpoint(NamedTuple):
    """Where a request goes. *target* is the path with its query, *host* a name or an address."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: endpoints with the same one share connections and limits."""
        return f"{self.scheme}://{self._bracketed}:{self.port}"

    @property
    def authority(self) -> str:
        """The value of the header ``Host``."""
        usual = self.port == _PORTS[self.scheme]
        return self._bracketed if usual else f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_endpoint(url: str, ports: Collection[int], *, require_https: bool = True) -> Endpoint:
    """Return the endpoint of a URL; raise `InvalidEndpoint` with the reason.

    A URL is ASCII and is sent as it is written. It has no user, no password and no fragment. The
    host is a name without a point at its end, or an address in its usual form.
    """
    _check_text(url)
    found = _URL.fullmatch(url)
    if not found:
        raise InvalidEndpoint(_FIELD, "must be http(s)://HOST[:PORT][/PATH]")
    scheme = found["scheme"].lower()
    if require_https and scheme != "https":
        raise InvalidEndpoint(_FIELD, "must be https")
    port = int(found["port"] or _PORTS[scheme])
    if port not in ports:
        allowed = ", ".join(map(str, sorted(ports)))
        raise InvalidEndpoint(_FIELD, f"the port must be one of {allowed}")
    target = found["target"]
    host = _v6(found["v6"]) if found["v6"] else _named(found["name"].lower())
    return Endpoint(scheme, host, port, target if target.startswith("/") else f"/{target}")


def _check_text(url: str) -> None:
    if len(url) > _LONGEST_URL:
        raise InvalidEndpoint(_FIELD, f"must have at most {_LONGEST_URL} characters", "too_large")
    if not _VISIBLE.fullmatch(url):
        raise InvalidEndpoint(
            _FIELD, "must be ASCII without spaces: write a name as xn--… and a path with %XX"
        )
    if "@" in re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0]:
        raise InvalidEndpoint(_FIELD, "must not have a user or a password: use a header")
    if "#" in url or "\\" in url:
        raise InvalidEndpoint(_FIELD, "must not have a fragment or a backslash")


def _v6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise InvalidEndpoint(_FIELD, "the host is not an IPv6 address") from None


def _named(name: str) -> str:
    if name.endswith("."):
        raise InvalidEndpoint(_FIELD, "the host must not end with a point")
    if _NUMERIC.fullmatch(name):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise InvalidEndpoint(_FIELD, "the host is not an IPv4 address") from None
    if not _NAME.fullmatch(name):
        raise InvalidEndpoint(_FIELD, "the host is not a name")
    return name
