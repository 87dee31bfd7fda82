"""The body of a request as every listener reads it: JSON alone, within bounds of size and time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.json_text import JsonLimits, Shape
from galaxy_notify.web.problems import Problem, fault

#: Bytes beyond the limit that are read and thrown away, so that a client which sends a little too
#: much can read its answer.
_GRACE: Final = 1 << 20
#: Limits of a body that is no intent.
SHORT_BYTES: Final = 1 << 17
SHORT: Final = JsonLimits(1 << 10, 1 << 12)
_CLOSE: Final = {"Connection": "close"}
_JSON: Final = "application/json"
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rf"(?:({_NAME})|\"((?:[^\"\\]|\\.)*)\")"
_PARAMETER: Final = re.compile(rf"({_NAME})={_VALUE}")
_ANY_VALUE: Final = rf"(?:{_NAME}|\"(?:[^\"\\]|\\.)*\")"
# Nothing is matched in two ways (possessive quantifiers): the time is that of the length.
_ONE: Final = rf"[ \t]*+;(?:[ \t]*+{_NAME}={_ANY_VALUE})?+"
_MEDIA_TYPE: Final = re.compile(rf"({_NAME}/{_NAME})((?:{_ONE})*+)")


class BodyLimits(NamedTuple):
    """The most bytes of a body, and within how many ms it must arrive."""

    bytes: int
    arrives_ms: int


def check_json_type(kind: str, codings: str) -> None:
    """Raise a `Problem` unless a body is plain JSON by its Content-Type and Content-Encoding."""
    if not _is_json(kind):
        message = "the body must be application/json in UTF-8"
        raise Problem("unsupported-media-type", message, (), {"Accept": _JSON})
    if not {one.strip() for one in codings.lower().split(",")} <= {"", "identity"}:
        message = "the body must not be compressed"
        raise Problem("unsupported-media-type", message, (), {"Accept-Encoding": "identity"})


async def read_body(
    parts: AsyncIterator[bytes],
    shape: Shape,
    limits: BodyLimits,
    *,
    declared: str = "",
    has_arrived: bool = False,
) -> bytes:
    """Return a body that *shape* and the limits admit; raise a `Problem` for any other.

    *declared* is its Content-Length; of one that *has_arrived* the time is not watched.
    """
    if declared.isdigit() and int(declared[:20]) > limits.bytes + _GRACE:
        raise _too_large(limits.bytes, close=True)
    try:
        # To watch the time takes as long as to read a short body that is all there.
        async with nullcontext() if has_arrived else asyncio.timeout(limits.arrives_ms / 1000):
            return await _collect(parts, shape, limits.bytes)
    except TimeoutError:
        message = f"the body did not arrive within {limits.arrives_ms} ms"
        raise Problem("request-timeout", message, (), _CLOSE) from None


def ended_early() -> Problem:
    """Return the problem of a body whose client has left."""
    return Problem("bad-request", "the body ended early", (), _CLOSE)


def not_json(error: InvalidIntent) -> Problem:
    """Return the problem of a text that is no JSON, or too much of it."""
    if error.code == "too_large":
        errors = [fault(error.field, error.message, error.code)]
        return Problem("too-large", error.message, errors)
    return Problem("bad-request", str(error), [fault(error.field, error.message, "not_json")])


def checked_object(value: Any, *known: str) -> dict[str, Any]:
    """Return an object that has no other fields than the *known* ones; raise a `Problem`."""
    if not isinstance(value, dict):
        raise Problem("invalid", "the body must be an object", [fault("", "must be an object")])
    for name in value:
        if name not in known:
            field = printable(name)
            raise Problem("invalid", f"{field}: unknown field", [fault(field, "unknown field")])
    return value


def media_type(text: str) -> tuple[str, dict[str, str]] | None:
    """Return a media type in lower case with its parameters; None where it is not one."""
    match = _MEDIA_TYPE.fullmatch(text.strip())
    if match is None:
        return None
    found: dict[str, str] = {}
    for name, plain, quoted in _PARAMETER.findall(match[2]):
        if name.lower() in found:
            return None
        found[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
    return match[1].lower(), found


# Clients send the same few texts again and again; a longer one may be a whole head.
@lru_cache(maxsize=64)
def _is_json(text: str) -> bool:
    kind, options = media_type(text) or ("", {})
    return kind == _JSON and options.get("charset", "utf-8").lower() == "utf-8"


async def _collect(parts: AsyncIterator[bytes], shape: Shape, limit: int) -> bytes:
    """Read a body to its end, or a refused one as far as the grace."""
    kept: list[bytes] = []
    size, refused = 0, None
    async for part in parts:
        size += len(part)
        if size > limit:
            refused = _too_large(limit)
            kept.clear()
        if refused is None and part:
            kept.append(part)
            refused = _scanned(shape, part)
        elif size > limit + _GRACE:
            raise _too_large(limit, close=True)
    if refused is not None:
        raise refused
    return b"".join(kept)


def _scanned(shape: Shape, part: bytes) -> Problem | None:
    try:
        shape.read(part)
    except InvalidIntent as error:
        return not_json(error)
    return None


def _too_large(limit: int, *, close: bool = False) -> Problem:
    detail = f"the body has more than {limit} bytes"
    errors = [fault("", f"has more than {limit} bytes", "too_large")]
    return Problem("too-large", detail, errors, _CLOSE if close else {})
