"""The body of a request: JSON, read within bounds of size and time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.http.dependencies import state_of
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.json_text import USUAL, JsonLimits, Shape, read_json
from galaxy_notify.web.connection import ARRIVED
from galaxy_notify.web.problems import Problem, fault

#: Bytes beyond the limit that are read and thrown away, so that a client which sends a little too
#: much can read its answer.
_GRACE: Final = 1 << 20
#: Limits of a body that is no intent, and the most values to parse in the event loop.
SHORT_BYTES: Final = 1 << 17
SHORT: Final = JsonLimits(1 << 10, 1 << 12)
_LIGHT: Final = 1 << 12
_CLOSE: Final = {"Connection": "close"}
_JSON: Final = "application/json"
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rf"(?:({_NAME})|\"((?:[^\"\\]|\\.)*)\")"
_PARAMETER: Final = re.compile(rf"({_NAME})={_VALUE}")
_ANY_VALUE: Final = rf"(?:{_NAME}|\"(?:[^\"\\]|\\.)*\")"
# Nothing is matched in two ways (possessive quantifiers): the time is that of the length.
_ONE: Final = rf"[ \t]*+;(?:[ \t]*+{_NAME}={_ANY_VALUE})?+"
_MEDIA_TYPE: Final = re.compile(rf"({_NAME}/{_NAME})((?:{_ONE})*+)")


async def json_body(request: Request, limits: JsonLimits = USUAL, most: int | None = None) -> Any:
    """Return the value of the JSON in the body; raise a `Problem` for anything else.

    A body of more than *most* bytes, of too many values or too many levels is refused before it
    is parsed, and one that takes long to parse is parsed in a thread.
    """
    _check_type(request)
    state = state_of(request)
    own = state.settings.http
    shape = Shape("the body", limits)
    try:
        raw = await _read(request, shape, min(most or own.max_body_bytes, own.max_body_bytes))
        if shape.values <= _LIGHT:
            return read_json(raw, "the body")
        return await state.parser.run(lambda: read_json(raw, "the body"))
    except InvalidIntent as error:
        raise _unread(error) from None


async def json_object(request: Request, *known: str) -> dict[str, Any]:
    """Return the object in a short body, which has no other fields than the *known* ones."""
    value = await json_body(request, SHORT, SHORT_BYTES)
    if not isinstance(value, dict):
        raise Problem("invalid", "the body must be an object", [fault("", "must be an object")])
    for name in value:
        if name not in known:
            field = printable(name)
            raise Problem("invalid", f"{field}: unknown field", [fault(field, "unknown field")])
    return value


def _unread(error: InvalidIntent) -> Problem:
    if error.code == "too_large":
        errors = [fault(error.field, error.message, error.code)]
        return Problem("too-large", error.message, errors)
    return Problem("bad-request", str(error), [fault(error.field, error.message, "not_json")])


def _check_type(request: Request) -> None:
    if not _is_json(request.headers.get("content-type", "")):
        message = "the body must be application/json in UTF-8"
        raise Problem("unsupported-media-type", message, (), {"Accept": _JSON})
    codings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    if not {one.strip() for one in codings} <= {"", "identity"}:
        message = "the body must not be compressed"
        raise Problem("unsupported-media-type", message, (), {"Accept-Encoding": "identity"})


# Clients send the same few texts again and again; a longer one may be a whole head.
@lru_cache(maxsize=64)
def _is_json(text: str) -> bool:
    kind, options = media_type(text) or ("", {})
    return kind == _JSON and options.get("charset", "utf-8").lower() == "utf-8"


async def _read(request: Request, shape: Shape, limit: int) -> bytes:
    body_ms = state_of(request).settings.http.body_ms
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit + _GRACE:
        raise _too_large(limit, close=True)
    arrived = request.scope["state"].get(ARRIVED)
    try:
        # To watch the time takes as long as to read a short body that is all there.
        async with nullcontext() if arrived and arrived() else asyncio.timeout(body_ms / 1000):
            return await _collect(request.stream(), shape, limit)
    except TimeoutError:
        raise Problem(
            "request-timeout", f"the body did not arrive within {body_ms} ms", (), _CLOSE
        ) from None
    except ClientDisconnect:
        raise Problem("bad-request", "the body ended early", (), _CLOSE) from None


async def _collect(stream: AsyncIterator[bytes], shape: Shape, limit: int) -> bytes:
    """Read a body to its end, or a refused one as far as the grace."""
    parts: list[bytes] = []
    size, refused = 0, None
    async for part in stream:
        size += len(part)
        if size > limit:
            refused = _too_large(limit)
            parts.clear()
        if refused is None and part:
            parts.append(part)
            refused = _scanned(shape, part)
        elif size > limit + _GRACE:
            raise _too_large(limit, close=True)
    if refused is not None:
        raise refused
    return b"".join(parts)


def _scanned(shape: Shape, part: bytes) -> Problem | None:
    try:
        shape.read(part)
    except InvalidIntent as error:
        return _unread(error)
    return None


def _too_large(limit: int, *, close: bool = False) -> Problem:
    detail = f"the body has more than {limit} bytes"
    errors = [fault("", f"has more than {limit} bytes", "too_large")]
    return Problem("too-large", detail, errors, _CLOSE if close else {})


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
