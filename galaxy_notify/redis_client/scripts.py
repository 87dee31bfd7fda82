"""Lua sources: one file per transition, each run as a single EVALSHA; and commands as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple

import hiredis

_PACKAGE = Path(__file__).resolve().parent.parent
# A wheel carries lua/ inside the package; a checkout keeps it beside the package.
LUA_DIR = next(d for d in (_PACKAGE / "lua", _PACKAGE.parent / "lua") if d.is_dir())

#: Script → parts that it shares with few others, or with none.
_PARTS: Final = {"route_publish": ("_refusals", "_stored"), "route_settle": ("_refusals",)}

Argument = bytes | str | int


@dataclass(frozen=True, slots=True)
class Script:
    """A script's name, its source with the prelude, and the digest Redis knows it by."""

    name: str
    source: str
    sha: str


class ScriptCall(NamedTuple):
    """One run of a script."""

    script: Script
    keys: list[str]
    args: list[Argument]

    @property
    def command(self) -> tuple[Any, ...]:
        """Return the arguments of the EVALSHA command."""
        return ("EVALSHA", self.script.sha, str(len(self.keys)), *self.keys, *self.args)


class Command(NamedTuple):
    """One reading command, to run beside scripts in one round trip."""

    command: list[Any]


# Why not Redis Functions: docs/decisions/0008-scripts-not-functions.md
def tag_in(command: Sequence[Any]) -> str | None:
    """Return the hash tag, with its braces, of the first key of a command."""
    for part in command[1:]:
        if isinstance(part, str) and part.startswith("{"):
            return part[: part.index("}") + 1]
        if isinstance(part, bytes) and part.startswith(b"{"):
            return part[: part.index(b"}") + 1].decode()
    return None


@cache
def script(name: str) -> Script:
    """Return ``lua/<name>.lua`` with the prelude, and other parts that it uses, in front."""
    parts = ("_prelude", *_PARTS.get(name, ()), name)
    source = "\n".join((LUA_DIR / f"{part}.lua").read_text("utf-8") for part in parts)
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def load_all() -> None:
    """Read every script now: later there may be no file to open, or one of another version."""
    for name in names():
        script(name)


@cache
def names() -> tuple[str, ...]:
    """Return the names of all scripts."""
    return tuple(sorted(p.stem for p in LUA_DIR.glob("*.lua") if not p.stem.startswith("_")))


_NUMBERS: Final = frozenset({int, float})


# redis-py packs in Python on asyncio connections, where a drain took twice as long:
# docs/decisions/0005-commands-packed-in-c.md
def packed(command: tuple[Any, ...]) -> list[bytes]:
    """Return a command as a connection sends it.

    hiredis 3.5 crashes where a signal handler raises while it makes the text of a number, so it
    is given none.
    """
    texts: Any = command
    if not _NUMBERS.isdisjoint(map(type, command)):
        texts = tuple([part if type(part) not in _NUMBERS else repr(part) for part in command])
    return [hiredis.pack_command(texts)]


def packed_words(*args: Any) -> list[bytes]:
    """Pack what redis-py sends: commands of two words, such as "CONFIG GET", are one argument."""
    name = args[0].split() if isinstance(args[0], str) else args[:1]
    return packed((*name, *args[1:]))


class Packer:
    """Packs for redis-py's synchronous connections as for the others."""

    pack = staticmethod(packed_words)
