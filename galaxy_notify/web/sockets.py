"""The sockets that the API listens on."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, Final, cast

BACKLOG: Final = 2048
#: Accepted connections inherit these. A peer that went away without a word is noticed after this
#: long, whether bytes to it are under way or not; by itself the system takes a quarter of an hour.
_GONE_S: Final = 60
_KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", _GONE_S // 2),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", _GONE_S // 6),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", _GONE_S * 1000),
)


class Listener(socket.socket):
    """A socket that listens; its queue stays as long as it was made.

    asyncio sets the length of the queue to the number of connections that it accepts in a turn.
    Where several processes share the socket that number is one, so that none takes all.
    """

    def listen(self, backlog: int = 0) -> None:
        """Change nothing."""


def listen(host: str, port: int) -> list[Listener]:
    """Return sockets that listen on every address of *host*; raise ``OSError``.

    With port 0 all have the port that the first one found free.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[Listener] = []
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            chosen = made[0].getsockname()[1] if made else port
            made.append(_listening(family, (address[0], chosen, *address[2:])))
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def listen_error(error: OSError) -> str:
    """Return why an address cannot be listened on."""
    # asyncio and the look-up of names add their own words, and the address again.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def check_host(host: str) -> None:
    """Raise ``OSError`` if a host cannot be listened on, at a port of the system's choice."""
    for one in listen(host, 0):
        one.close()


def _listening(family: int, address: tuple[Any, ...]) -> Listener:
    made = socket.create_server(
        cast("tuple[str, int]", address), family=family, backlog=BACKLOG, dualstack_ipv6=False
    )
    # Connections have it from here. asyncio sets it only where a socket names its protocol; without
    # it the body of an answer waits up to 40 ms until the head was acknowledged.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for level, name, value in _KEEP_ALIVE:
        # Not every system has all of them.
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(level, option, value)
    return Listener(family, socket.SOCK_STREAM, 0, made.detach())


def url_of(listening: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def give_up_soon(listening: Listener, vanished_s: int) -> None:
    """Have the connections of a socket end soon after their clients have vanished.

    A client that is gone without a word, such as a phone, would be there for a quarter of an hour.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, vanished_s)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, vanished_s * 1000)
