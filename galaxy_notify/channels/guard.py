"""Which addresses may be connected to: none that lead inside, whatever name they were given by.

An address is checked where its socket is made, and the socket is connected to the address that was
checked. So it does not matter how it was found: written in a URL, answered by a name server that
answers otherwise the next time, or reached by a second name.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from galaxy_notify.channels.endpoint import Endpoint, parse_endpoint
from galaxy_notify.errors import InvalidEndpoint

_Network = IPv4Network | IPv6Network

#: What `ipaddress` calls global is no use here: multicast, NAT64 and 6to4 are among it.
FORBIDDEN: Final[Sequence[_Network]] = [
    ip_network(each)
    for each in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the inside of a cloud, under a public address
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        # All but 2000::/3: loopback, v4 inside v6, NAT64, unique local, link-local, site-local,
        # multicast, and what is not assigned.
        "::/3",
        "4000::/2",
        "8000::/1",
        "2001::/23",  # IETF protocols, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]


class Blocked(OSError):
    """The guard does not let an address be connected to. The text never says which it was."""

    def __init__(self) -> None:
        super().__init__("the address is not allowed")


class Guard:
    """Makes sockets for addresses that are public, or in a network of *allow*.

    Raises `ValueError` for text that is not a network, or has bits set behind its prefix.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        ports: Collection[int] = (443, 8443),
        *,
        require_https: bool = True,
    ) -> None:
        self._allow = [ip_network(each) for each in allow]
        self._ports = frozenset(ports)
        self._require_https = require_https

    def endpoint(self, url: str) -> Endpoint:
        """Return the endpoint of a URL; raise `InvalidEndpoint` if it is malformed or not allowed.

        The addresses of a name are checked only when it is connected to: see `new_socket`.
        """
        found = parse_endpoint(url, self._ports, require_https=self._require_https)
        if is_address(found.host):
            try:
                self.check(found.host)
            except Blocked as error:
                raise InvalidEndpoint("url", str(error)) from None
        return found

    def check(self, address: str) -> IPv4Address | IPv6Address:
        """Return the address as a value; raise `Blocked` if it may not be connected to.

        An IPv4 address inside an IPv6 one (``::ffff:…``) is checked, and returned, as IPv4.
        """
        try:
            found = ip_address(address)
        except ValueError:
            raise Blocked from None
        if isinstance(found, IPv6Address):
            if found.scope_id is not None:
                raise Blocked
            found = found.ipv4_mapped or found
        if not _is_in(found, self._allow) and _is_in(found, FORBIDDEN):
            raise Blocked
        return found

    def new_socket(self, address: str, port: int) -> tuple[socket.socket, tuple[str, int]]:
        """Return a socket that does not block, and what to connect it to; raise `Blocked`."""
        found = self.check(address)
        family = socket.AF_INET6 if isinstance(found, IPv6Address) else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made, (str(found), port)


def is_address(host: str) -> bool:
    """Tell whether a host is an address: nothing is looked up then."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_in(address: IPv4Address | IPv6Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)
