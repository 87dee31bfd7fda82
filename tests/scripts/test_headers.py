"""The header of every script is true: what it takes, what it answers, what it uses."""

from __future__ import annotations

import re
from itertools import product

import pytest
from lupa import lua51

from galaxy_notify.model.route import TRANSITIONS, Status
from galaxy_notify.redis_client.scripts import LUA_DIR, names, script
from galaxy_notify.redis_state.words import Word
from tests.scripts.support.bytecode import globals_of
from tests.scripts.support.headers import Header

#: What a script may use besides its own locals. Redis takes the rest away, or will one day.
_ALLOWED = {
    *("redis", "KEYS", "ARGV", "string", "math", "tonumber", "type", "ipairs", "pairs"),
    *("table", "unpack", "error", "pcall"),
}
_HEADERS = {name: Header(LUA_DIR / f"{name}.lua") for name in names()}
_NAMES = {status.value for status in Status}


@pytest.fixture(params=names())
def header(request: pytest.FixtureRequest) -> Header:
    return _HEADERS[request.param]


def test_scripts__are_there() -> None:
    """The scripts are found, so that the tests below test something."""
    assert len(_HEADERS) >= 13


def test_first_line__names_the_script(header: Header) -> None:
    """The file, the method, the span and the first line have one name."""
    assert _HEADERS[header.name] is header


def test_first_line__says_statuses_or_parenthesises(header: Header) -> None:
    """What is no status of a route stands in parentheses."""
    for word in header.sources | header.targets:
        assert word in _NAMES or re.fullmatch(r"\(\w+\)", word), word


def test_transitions__are_those_of_the_model() -> None:
    """The scripts make the transitions that the model allows, and no others."""
    made = {
        (source, target)
        for header in _HEADERS.values()
        for source, target in product(header.sources, header.targets)
        if target in _NAMES and source in {*_NAMES, "(new)"}
    }
    allowed = {
        (before.value if before else "(new)", after.value)
        for before, follow in TRANSITIONS.items()
        for after in follow
    }
    assert made == allowed


def test_why__is_short(header: Header) -> None:
    """What and why fit in six lines of prose."""
    assert 1 <= len(header.why) <= 6
    assert all(header.why)


def test_keys__are_those_that_are_read(header: Header) -> None:
    """Every documented key but the last is read, and no other."""
    indexes = [key.index for key in header.keys]
    assert indexes == list(range(1, len(indexes) + 1))
    assert header.read("KEYS") == set(indexes[:-1])


def test_keys__end_with_the_guard_against_a_moving_slot(header: Header) -> None:
    """In a cluster, `never` makes a slot that moves refuse the whole script."""
    assert [key.name for key in header.keys].index("never") == len(header.keys) - 1


def test_argv__is_what_is_read(header: Header) -> None:
    """Every documented argument is read, and no other; a list begins where it says."""
    indexes = [entry.index for entry in header.argv]
    assert indexes == list(range(1, len(indexes) + 1))
    assert [entry.rest for entry in header.argv[:-1]] == [False] * (len(indexes) - 1)
    assert header.read("ARGV") == set(indexes)


def test_returns__are_the_words_that_are_answered(header: Header) -> None:
    """Every documented word can be answered, and every answered one is documented."""
    assert header.documented_words == header.answered_words


def test_globals__are_none_but_those_of_redis(header: Header) -> None:
    """A script reads no global that Redis does not promise, and writes none at all."""
    read, written = globals_of(script(header.name).source)
    assert written == set()
    assert read <= _ALLOWED


def test_script__is_plain_ascii_of_bounded_size(header: Header) -> None:
    """A script fits on a few screens and its lines on one."""
    assert len(header.all_lines) <= 275
    assert max(map(len, header.all_lines)) <= 120
    assert all(line.isascii() and line == line.rstrip() for line in header.all_lines)


def test_prelude__is_short() -> None:
    """What all scripts share stays small."""
    lines = (LUA_DIR / "_prelude.lua").read_text("utf-8").splitlines()
    assert len(lines) <= 30


@pytest.mark.parametrize(
    ("lie", "broken"),
    [
        ("--   1 paused     set    paused channels", "test_keys__are_those_that_are_read"),
        ("--   1 channel    str", "test_argv__is_what_is_read"),
        ("--   already      it was paused before", "test_returns__are_the_words_that_are_answered"),
    ],
)
def test_header__that_lies_is_caught(
    lie: str, broken: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Leaving a line out of a header fails the test that reads it."""
    text = (LUA_DIR / "channel_pause.lua").read_text("utf-8")
    assert lie in text
    path = tmp_path_factory.mktemp("lua") / "channel_pause.lua"
    path.write_text(text.replace(lie + "\n", ""), "utf-8")
    with pytest.raises((AssertionError, ValueError)):
        globals()[broken](Header(path))


def test_globals_of__sees_what_leaks() -> None:
    """The reader of globals finds them in nested functions too."""
    source = "local a = 1\nlocal function f() leak = a + other end\nreturn f"
    assert globals_of(source) == ({"other"}, {"leak"})
    assert lua51.LuaRuntime().execute("return 1") == 1


def test_words__are_those_of_the_headers() -> None:
    """The enum has every word that a header promises, and no other."""
    promised = {word for header in _HEADERS.values() for word in header.documented_words}
    assert {word.value for word in Word} == promised
