"""Clients of a stream that a gateway has to get rid of: mute, reset, or gone without a word."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable
from typing import Final

from tests.support.gateways import token
from tests.support.streams import PATH

#: Not in the module `socket`; see socket(7).
_SO_ATTACH_FILTER: Final = 26
#: One instruction of a socket filter, "return 0": every packet is dropped.
_DROP_ALL: Final = struct.pack("HBBI", 0x06, 0, 0, 0)
_LITTLE_BYTES: Final = 2048


async def broken_client(port: int, user: str, how: str) -> socket.socket:
    """Connect, wait for the first message, and break as *how* says."""
    loop = asyncio.get_running_loop()
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE_BYTES)
    one.setblocking(False)
    await loop.sock_connect(one, ("127.0.0.1", port))
    head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\n\r\n"
    await loop.sock_sendall(one, head.encode())
    text = b""
    while b"event: hello" not in text:
        text += await loop.sock_recv(one, _LITTLE_BYTES)
    BREAKING[how](one)
    return one


def _read_nothing(_: socket.socket) -> None:
    """Stay connected; whoever writes finds the window closed."""


def _reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def _vanish(one: socket.socket) -> None:
    """Answer no packet any more, not even with a reset, as a host without power."""
    code = ctypes.create_string_buffer(_DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


BREAKING: Final[dict[str, Callable[[socket.socket], None]]] = {
    "reads nothing": _read_nothing,
    "resets": _reset,
    "is gone": _vanish,
}
