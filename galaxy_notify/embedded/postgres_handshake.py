"""Ask a Postgres on a socket whether it takes connections, without a client library.

It begins a connection as any client does (protocol 3.0) and ends it after the first answer.
"""

from __future__ import annotations

import socket
import struct
from contextlib import closing, suppress
from enum import Enum
from pathlib import Path
from typing import Final

_PROTOCOL: Final = 3 << 16
_HEADER: Final = 5
_LONGEST: Final = 1 << 16
_END: Final = b"X" + struct.pack("!I", 4)
_REFUSAL: Final = ord("E")
#: The code of a server that starts, recovers its data or shuts down.
_NOT_NOW: Final = b"\0C57P03\0"


class Standing(Enum):
    """What stands behind a socket."""

    #: It takes connections, or refuses this one for a reason of its own.
    READY = "ready"
    #: It starts, recovers its data, or shuts down.
    BETWEEN = "between"
    #: It holds the socket and does not answer.
    SILENT = "silent"
    #: Nobody listens.
    AWAY = "away"


def ask(path: Path, user: str, database: str, seconds: float) -> Standing:
    """Return what stands behind a socket; wait no longer than *seconds* for each step."""
    words = b"".join(f"{word}\0".encode() for word in ("user", user, "database", database))
    hello = struct.pack("!II", len(words) + 9, _PROTOCOL) + words + b"\0"
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
            connection.sendall(hello)
            kind, text = _message(connection)
        except (TimeoutError, BlockingIOError):
            return Standing.SILENT  # where it blocks, its line of connections is full
        except (ConnectionRefusedError, FileNotFoundError):
            return Standing.AWAY
        except OSError:
            return Standing.BETWEEN  # it was there, and ended the connection
        with suppress(OSError):  # it may have ended the connection with its answer
            connection.sendall(_END)
    return Standing.BETWEEN if kind == _REFUSAL and _NOT_NOW in text else Standing.READY


def _message(connection: socket.socket) -> tuple[int, bytes]:
    """Read one message: its kind and its text."""
    kind, length = struct.unpack("!BI", _exactly(connection, _HEADER))
    return kind, _exactly(connection, min(length - 4, _LONGEST))


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (part := connection.recv(size - len(found))):
            raise ConnectionResetError
        found += part
    return found
