"""Lua sources: one file per transition, each run as a single EVALSHA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple

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
