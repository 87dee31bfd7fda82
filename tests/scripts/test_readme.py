"""The tables of lua/README.md are true."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import UTC, datetime

from galaxy_notify.model.route import (
    PUBLISHABLE,
    STATUS_OF,
    TRANSITIONS,
    Status,
    body_of,
    decode_route,
)
from galaxy_notify.redis_client.scripts import LUA_DIR, names
from galaxy_notify.redis_state.keys import IntentKeys, Keys
from tests.scripts.support.headers import Header

_PACKAGE = LUA_DIR.parent / "galaxy_notify"


def _section(title: str) -> str:
    text = (LUA_DIR / "README.md").read_text("utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _rows(title: str) -> list[list[str]]:
    table = [line for line in _section(title).splitlines() if line.startswith("|")]
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


_EXAMPLE = re.search(r"```\n(> HGET .*?)```", (LUA_DIR / "README.md").read_text("utf-8"), re.S)


def _unescaped(printed: str) -> bytes:
    """Return the bytes that redis-cli prints in quotes."""
    return ast.literal_eval(f"b{printed}")  # type: ignore[no-any-return]  # a literal of bytes


def test_status_letters__are_those_of_the_model() -> None:
    """Each letter has its status, where such a route is, and what may follow."""
    text = (LUA_DIR / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w)` \| (\w+) \| (\S+) \| (.+) \|$", text, re.M)
    assert {letter.encode(): name for letter, name, *_ in rows} == {
        letter: status.value for letter, status in STATUS_OF.items()
    }
    for _, name, _, following in rows:
        allowed = {status.value for status in TRANSITIONS.get(Status(name), frozenset())}
        assert {*following.split(", ")} == (allowed or {"final"}), name
    assert {name for _, name, index, _ in rows if index == "schedule"} == set(PUBLISHABLE)


def test_positions__are_those_of_the_prelude() -> None:
    """The table of bytes, the constants of the prelude and the model agree."""
    rows = re.findall(r"^\| (\d+)\S* \| (?:status|last|due|body)", _section("Formats"), re.M)
    prelude = (LUA_DIR / "_prelude.lua").read_text("utf-8")
    (named,) = re.findall(r"local STATUS, AT, DUE, BODY = (.*)", prelude)
    assert rows == named.split(", ")
    assert body_of(b"1p" + b"0" * 26 + b"body") == b"body"


def test_example__means_what_the_readme_says() -> None:
    """The raw state, score and token are read as the example explains them."""
    assert _EXAMPLE
    raw, score, token, leased = re.findall(r'".*"', _EXAMPLE[1])
    route = decode_route(_unescaped(raw))
    meanings = _section("Formats")
    for at_ms, name in ((route.at_ms, "at"), (route.due_at_ms, "due")):
        time = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        assert f"| `{at_ms}` | {name}: {time.replace('+00:00', 'Z')} |" in meanings
    assert route.status is Status.FAILED
    assert (route.generation, route.attempts, route.max_attempts) == (1, 1, 0)
    (line,) = route.history
    assert f"{line.event} by {line.worker}, attempt {line.attempt}, {line.failure_class}, " in (
        meanings
    )
    assert f'"{line.message}"' in meanings
    assert score == leased
    fraction = float(_unescaped(score)) % 1
    assert fraction != 0
    assert _unescaped(token).decode().rsplit(":", 3)[:3] == [line.worker, "0", "30000"]
