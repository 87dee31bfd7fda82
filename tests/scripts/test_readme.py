"""The tables of lua/README.md are true."""

from __future__ import annotations

import inspect
import re

from galaxy_notify.redis_client.scripts import LUA_DIR, names
from galaxy_notify.redis_state.keys import IntentKeys, Keys
from tests.scripts.support.headers import Header

_PACKAGE = LUA_DIR.parent / "galaxy_notify"


def _rows(title: str) -> list[list[str]]:
    text = (LUA_DIR / "README.md").read_text("utf-8")
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def _keys() -> set[str]:
    """Return every key that `Keys` can build, with its parameter in angle brackets."""
    keys, found = Keys("gn", 0), set()
    for name, member in vars(Keys).items():
        if name.startswith("_") or name in ("tag", "prefix", "shard", "gateway_stream"):
            continue
        if callable(member):
            _, *parameters = inspect.signature(member).parameters
            found.add(member(keys, *(f"<{parameter}>" for parameter in parameters)))
        else:
            found.add(getattr(keys, name))
    intents = IntentKeys("gn:intents")
    found |= {intents.stream, intents.rejects, intents.never}
    return {re.sub(r"<\w*id>", "<id>", key) for key in found}


def test_key_map__is_what_keys_builds() -> None:
    """Every key has its line, and every line its key."""
    rows = _rows("Keys")
    assert {row[0].strip("`") for row in rows} == _keys()
    assert len(rows) == len(_keys())


def test_key_map__bounds_every_key() -> None:
    """No key grows for ever: each line says what bounds it."""
    for key, kind, holds, bound in _rows("Keys"):
        assert kind in {"hash", "zset", "list", "stream", "set", "string", "none"}, key
        assert holds, key
        assert bound, key


def test_key_map__types_are_those_of_the_headers() -> None:
    """A key is of one type, whichever script names it."""
    types = {}
    for key, kind, *_ in _rows("Keys"):
        types[_short_name(key.strip("`"))] = kind
    types["stream"] = types.pop("client-events")
    for name in names():
        for entry in Header(LUA_DIR / f"{name}.lua").keys[:-1]:
            documented = entry.text.split()
            assert types[documented[0]] == documented[1], f"{name}: {entry.text}"


def _short_name(key: str) -> str:
    """Return the name that a header gives a key: what comes after the tag, or after the stream."""
    return key.split(":")[2] if key.startswith("{") else key.rpartition(":")[2]


def test_transition_table__is_what_the_headers_say() -> None:
    """The table and the first lines of the scripts agree."""
    told = {}
    for name, transition, *_ in _rows("Transitions"):
        told[name.strip("`")] = transition.replace(" → ", " -> ").replace(", ", " | ")
    assert told == {name: Header(LUA_DIR / f"{name}.lua").transition for name in names()}


def test_transition_table__names_who_runs_it() -> None:
    """Each script is called where the table says."""
    for name, _, run_by, through in _rows("Transitions"):
        assert run_by
        source = (_PACKAGE / through.strip("`")).read_text("utf-8")
        name = name.strip("`")
        assert re.search(rf'\bcalls\.{name}\b|script\("{name}"\)', source), name
