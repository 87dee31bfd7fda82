"""The body of a request: JSON, read within bounds of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.http.parts import parts_of
from galaxy_notify.http.problems import Problem, fault
from galaxy_notify.model.json_text import parse_json
from galaxy_notify.settings.http import HttpSettings

#: So much more is read and thrown away, so that whoever sends a little too much hears the answer.
_GRACE: Final = 1 << 20
_CLOSE: Final = {"Connection": "close"}


async def json_body(request: Request) -> Any:
    """Return the value of the JSON in the body; raise a `Problem` for anything else."""
    _check_type(request)
    settings = parts_of(request).settings.http
    raw = await _read(request, settings)
    try:
        return parse_json(raw, "the body")
    except InvalidIntent as error:
        errors = [fault(error.field, error.message, "not_json")]
        raise Problem("bad-request", str(error), errors) from None


async def json_object(request: Request, *known: str) -> dict[str, Any]:
    """Return the object in the body, which has no other fields than the *known* ones."""
    value = await json_body(request)
    if not isinstance(value, dict):
        raise Problem("invalid", "the body must be an object", [fault("", "must be an object")])
    for name in value:
        if name not in known:
            field = name[:64]
            raise Problem("invalid", f"{field}: unknown field", [fault(field, "unknown field")])
    return value


def _check_type(request: Request) -> None:
    kind, _, options = request.headers.get("content-type", "").partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
        raise Problem(
            "unsupported-media-type", "the body must be application/json", (), {"Accept": _JSON}
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported-media-type", "the body must not be compressed")


_JSON: Final = "application/json"


async def _read(request: Request, settings: HttpSettings) -> bytes:
    limit = settings.max_body_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit + _GRACE:
        raise _too_large(limit, close=True)
    try:
        async with asyncio.timeout(settings.body_ms / 1000):
            return await _collect(request.stream(), limit)
    except TimeoutError:
        raise Problem(
            "request-timeout", f"the body did not arrive in {settings.body_ms} ms", (), _CLOSE
        ) from None
    except ClientDisconnect:
        raise Problem("bad-request", "the body did not arrive to its end", (), _CLOSE) from None


async def _collect(stream: AsyncIterator[bytes], limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in stream:
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit + _GRACE:
            raise _too_large(limit, close=True)
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int, *, close: bool = False) -> Problem:
    detail = f"the body has more than {limit} bytes (http.max_body_bytes)"
    errors = [fault("", f"has more than {limit} bytes", "too_large")]
    return Problem("too-large", detail, errors, _CLOSE if close else {})
