"""The append-only file: every write of a server in its order, transition by transition.

A script's writes stand between MULTI and EXEC; a command outside is a transition of its own. For
the whole history the server must run with `KEEPS_ALL`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KEEPS_ALL: dict[str, Any] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "aof_use_rdb_preamble": "no",
    "auto_aof_rewrite_percentage": "0",
}
Command = tuple[bytes, ...]
Transition = list[Command]


def files(folder: Path) -> list[Path]:
    """Return the files of a server's folder that hold its writes, in their order."""
    parts = folder / "appendonlydir"
    if not parts.is_dir():  # before Redis 7.0 it was one file
        return [folder / "appendonly.aof"]
    (manifest,) = parts.glob("*.manifest")
    named = re.findall(r"^file (\S+) seq \d+ type [bi]", manifest.read_text(), re.MULTILINE)
    return [parts / name for name in named]


def read_transitions(folder: Path) -> Iterator[Transition]:
    """Read a server's history; what was cut short at the end has not happened."""
    for path in files(folder):
        yield from transitions(path.read_bytes())


def transitions(data: bytes) -> Iterator[Transition]:
    """Read the transitions of one file."""
    together: Transition | None = None
    for command in commands(data):
        name = command[0].upper()
        if name == b"MULTI":
            together = []
        elif name == b"EXEC":
            yield together or []
            together = None
        elif together is not None:
            together.append(command)
        else:
            yield [command]


def commands(data: bytes) -> Iterator[Command]:
    """Read one command after the other."""
    at = 0
    while at < len(data):
        end = data.find(b"\r\n", at)
        if end < 0:
            return
        if data[at : at + 1] == b"#":  # an annotation, such as the time
            at = end + 2
            continue
        words, at = _words(data, end + 2, int(data[at + 1 : end]))
        if words is None:
            return
        yield words


def _words(data: bytes, at: int, number: int) -> tuple[Command | None, int]:
    words = []
    for _ in range(number):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None, at
        at = end + 2 + int(data[at + 1 : end])
        if at + 2 > len(data):
            return None, at
        words.append(data[end + 2 : at])
        at += 2
    return tuple(words), at


def packed(*transitions: Transition) -> bytes:
    """Write transitions as a server does."""
    written = bytearray()
    for one in transitions:
        for command in ((b"MULTI",), *one, (b"EXEC",)):
            written += b"*%d\r\n" % len(command)
            for word in command:
                written += b"$%d\r\n%b\r\n" % (len(word), word)
    return bytes(written)
