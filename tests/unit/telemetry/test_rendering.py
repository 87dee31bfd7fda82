"""Hostile, secret and oversized values in log lines."""

from __future__ import annotations

import enum
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from galaxy_notify.telemetry import rendering
from galaxy_notify.telemetry.lines import MAX_LINE
from galaxy_notify.telemetry.logs import configure_logs, get_logger
from tests.support.telemetry import Lines, json_logs


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and return a function that reads them all."""
    with json_logs() as read:
        yield read


class Fails(Exception):
    """An error that cannot even describe itself."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def fail(error: Exception) -> None:
    raise error


class Colour(enum.Enum):
    """Some words."""

    RED = "red"


class Hostile(dict[str, Any]):
    """A mapping that falls apart when it is looked at."""

    def items(self) -> Any:
        raise RuntimeError


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


HOSTILE = [
    b"\xff\x00\x1b[31m",
    bytearray(b"abc"),
    memoryview(b"view"),
    "\ud800 lone",
    "two\nlines\r\x1b[2J\x00\x7f\x85\u2028\u202e",
    "x" * 1_000_000,
    "\N{GRINNING FACE}" * 5_000,
    float("nan"),
    float("-inf"),
    10**5000,
    -(2**70),
    True,
    None,
    Colour.RED,
    Path("a/b"),
    UUID(int=7),
    object(),
    Fails("x"),
    ValueError("bad\nvalue"),
    cyclic(),
    {1: 2, None: b"\xfe", "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}}},
    {f"k{n}": "v" * 400 for n in range(500)},
    Hostile(a=1),
    {"\ud800\n": "key"},
    (1, 2),
    {3},
    range(5),
    lambda: None,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["field", "route_id", "error", "nested"])
def test_line__is_one_json_object_whatever_the_value(name: str, value: Any, capfd: Any) -> None:
    """Any value gives exactly one line of printable ASCII that is one JSON object."""
    configure_logs("debug", "json", sys.stderr)
    get_logger("test").info("something happened", **{name: [value] if name == "nested" else value})
    raw = capfd.readouterr().err
    assert re.fullmatch(r"[ -~]{1,4095}\n", raw)
    event = json.loads(raw, parse_constant=pytest.fail)
    assert event["level"] == "info"
    assert {"timestamp", "event"} <= event.keys()


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_console__shows_no_control_characters(value: Any) -> None:
    """On a terminal a value cannot move the cursor, ring the bell or turn the text around."""
    stream = io.StringIO()
    configure_logs("debug", "console", stream)
    get_logger("test").info("odd\x1b[31m event", value=value, other="\u202eright")
    shown = stream.getvalue()
    assert shown.endswith("\n")
    assert rendering._UNSAFE.search(shown[:-1]) is None


def test_console__shows_an_exception_on_lines_of_its_own() -> None:
    """Where it was raised, then what it is, then its causes; its text cannot begin a line."""
    stream = io.StringIO()
    configure_logs("debug", "console", stream)
    error = ValueError("bad\nvalue")
    error.__cause__ = Fails("x")
    try:
        fail(error)
    except ValueError:
        get_logger("test").exception("something failed")
    event, outer, inner, described, cause = stream.getvalue().splitlines()
    assert event.endswith("something failed component=test")
    assert re.fullmatch(r"  telemetry/test_rendering\.py:\d+ test_console.*", outer)
    assert re.fullmatch(r"  telemetry/test_rendering\.py:\d+ fail", inner)
    assert described == r"  ValueError: bad\nvalue"
    assert cause == "  caused by Fails: (no description)"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "hunter2", "***"),
        ("redis_password", "hunter2", "***"),
        ("lease_token", "abc", "***"),
        ("client_secret", b"abc", "***"),
        ("password", "", ""),
        ("url", "redis://:hunter2@db:6379/0", "redis://:***@db:6379/0"),
        ("url", "rediss://me:hunter2@db", "rediss://me:***@db"),
        ("url", "redis://me:p@ss/w:rd@db/0", "redis://me:***@db/0"),
        ("url", "unix:///run/redis.sock?password=hunter2&db=1", None),
        ("error", "cannot reach redis://me:hunter2@db now", None),
        ("settings", {"redis": {"password": "hunter2", "prefix": "gn"}}, None),
        ("payload", b"hunter2", "(7 long)"),
        ("data", {"a": "hunter2"}, "(1 long)"),
        ("body", "hunter2", "(7 long)"),
        ("record", ["hunter2"], "(hidden)"),
        ("what", {"payload": "hunter2"}, None),
    ],
)
def test_secrets__stay_out(lines: Lines, name: str, value: Any, shown: Any) -> None:
    """Passwords, tokens and payloads never reach a line, by name or inside a URL."""
    get_logger("test").info("something happened", **{name: value})
    (line,) = lines()
    assert "hunter2" not in json.dumps(line)
    if shown is not None:
        assert line[name] == shown


def test_values__are_bounded(lines: Lines) -> None:
    """Ids end after 128 characters, error texts after 200, everything after 500."""
    long = "x" * 1000
    get_logger("test").info("something happened", route_id=long, error=long, other=long)
    (line,) = lines()
    assert [len(line[name]) for name in ("route_id", "error", "other")] == [128, 200, 500]


def test_line__fits_into_one_pipe_write(lines: Lines) -> None:
    """A line with too many fields is shortened, says so, and keeps its first fields."""
    get_logger("test").info("something happened", **{f"f{n}": "é" * 400 for n in range(40)})
    (line,) = lines()
    assert line["shortened"] is True
    assert line["event"] == "something happened"
    assert len(json.dumps(line)) < MAX_LINE


def test_exception__is_told_without_source_lines(lines: Lines) -> None:
    """An exception is fields: type, short message, frames and causes; no code, no locals."""
    try:
        try:
            fail(Fails("inner"))
        except Fails as inner:
            raise ValueError("x" * 900) from inner
    except ValueError:
        get_logger("test").exception("something failed")
    (line,) = lines()
    told = line["exception"]
    assert line["level"] == "error"
    assert told["type"] == "ValueError"
    assert len(told["message"]) == 200
    assert told["caused_by"] == ["Fails: (no description)"]
    assert re.fullmatch(r"telemetry/test_rendering\.py:\d+ test_exception.*", told["frames"][-1])
