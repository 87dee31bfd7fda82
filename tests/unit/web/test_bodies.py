"""Bodies: what is plain JSON, and what comes within the bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from galaxy_notify.model.json_text import JsonLimits, Shape
from galaxy_notify.web.bodies import (
    BodyLimits,
    check_json_type,
    checked_object,
    media_type,
    read_body,
)
from galaxy_notify.web.problems import Problem

_MANY = BodyLimits(100, 60_000)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('A/b; x="1\\"2"', ("a/b", {"x": '1"2'})),
        ("a/b;;", ("a/b", {})),
        ("a/b; x=1; X=2", None),
        ("", None),
        ("a/b" + "; ;" * 10_000, ("a/b", {})),
        ("a/b" + "; ;" * 10_000 + "x", None),
        ("a/b" + " " * 60_000 + "x", None),
        ("a/b;" + "a" * 60_000, None),
        ('a/b;a="' + '\\"' * 30_000, None),
    ],
)
def test_media_type__is_taken_apart(text: str, found: object) -> None:
    """Names are in lower case, quotes are taken off, what is said twice is unclear."""
    assert media_type(text) == found


@pytest.mark.parametrize(
    ("kind", "codings"),
    [
        ("", ""),
        ("text/plain", ""),
        ("application/json; charset=latin-1", ""),
        ("application/json", "gzip"),
        ("application/json", "identity, br"),
    ],
)
def test_type__that_is_not_plain_json_is_refused(kind: str, codings: str) -> None:
    """By its media type, its character set, or its coding."""
    with pytest.raises(Problem) as raised:
        check_json_type(kind, codings)
    assert raised.value.status == 415


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8"])
def test_type__of_json_is_taken(kind: str) -> None:
    """In any case, with the usual parameter."""
    check_json_type(kind, "identity")


def _read(*parts: bytes, limits: BodyLimits = _MANY, declared: str = "") -> bytes:
    async def given() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    shape = Shape("the body", JsonLimits(2, 3))
    return asyncio.run(read_body(given(), shape, limits, declared=declared))


def test_body__is_joined() -> None:
    """Whatever pieces it comes in."""
    assert _read(b'{"a"', b"", b":1}") == b'{"a":1}'


@pytest.mark.parametrize(
    ("parts", "declared", "closes"),
    [
        ([b"x" * 101], "", False),
        ([b"x" * 60, b"x" * 60], "", False),
        ([b"[[["], "", False),
        ([b"1,2,", b"3,4,5"], "", False),
        ([b"x" * (1 << 19)] * 3, "", True),
        ([], "9" * 30, True),
    ],
)
def test_body__that_is_too_much_is_refused(parts: list[bytes], declared: str, closes: bool) -> None:
    """A client that sends far more than that is not listened to any further."""
    with pytest.raises(Problem) as raised:
        _read(*parts, declared=declared)
    assert raised.value.status == 413
    assert ("Connection" in raised.value.headers) == closes


def test_body__that_does_not_come_is_not_waited_for() -> None:
    """After its time the connection is closed."""

    async def given() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    with pytest.raises(Problem) as raised:
        asyncio.run(read_body(given(), Shape("the body"), BodyLimits(1, 1)))
    assert raised.value.status == 408


@pytest.mark.parametrize(("value", "field"), [([], ""), (None, ""), ({"a": 1, "b\n": 2}, "b\\n")])
def test_object__has_known_fields_only(value: Any, field: str) -> None:
    """An unknown one is named."""
    with pytest.raises(Problem) as raised:
        checked_object(value, "a")
    assert raised.value.errors[0]["field"] == field
    assert checked_object({"a": 1}, "a") == {"a": 1}
