"""The body of a request: JSON, read within bounds of size and time."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import ClientDisconnect, Request

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.http.dependencies import state_of
from galaxy_notify.model.json_text import USUAL, JsonLimits, Shape, read_json
from galaxy_notify.web.bodies import (
    SHORT,
    SHORT_BYTES,
    BodyLimits,
    check_json_type,
    checked_object,
    ended_early,
    not_json,
    read_body,
)
from galaxy_notify.web.connection import ARRIVED
from galaxy_notify.web.problems import Problem, fault

#: The most values to parse in the event loop.
_LIGHT: Final = 1 << 12


async def json_body(request: Request, limits: JsonLimits = USUAL, most: int | None = None) -> Any:
    """Return the value of the JSON in the body; raise a `Problem` for anything else.

    A body of more than *most* bytes, of too many values or too many levels is refused before it
    is parsed, and one that takes long to parse is parsed in a thread.
    """
    codings = ",".join(request.headers.getlist("content-encoding"))
    check_json_type(request.headers.get("content-type", ""), codings)
    state = state_of(request)
    own = state.settings.http
    shape = Shape("the body", limits)
    most_bytes = min(most or own.max_body_bytes, own.max_body_bytes)
    try:
        raw = await _read(request, shape, BodyLimits(most_bytes, own.body_ms))
        if shape.values <= _LIGHT:
            return read_json(raw, "the body")
        return await state.parser.run(lambda: read_json(raw, "the body"))
    except InvalidIntent as error:
        raise not_json(error) from None


async def json_object(request: Request, *known: str) -> dict[str, Any]:
    """Return the object in a short body, which has no other fields than the *known* ones."""
    return checked_object(await json_body(request, SHORT, SHORT_BYTES), *known)


def checked_batch(values: list[Any], what: str, most: int) -> list[Any]:
    """Return the list of a body; raise a `Problem` if it is empty or has more than *most*.

    *what* is one of the list, as in ``intent``.
    """
    if not values:
        raise Problem("invalid", "the list is empty", [fault("", f"needs at least one {what}")])
    if len(values) > most:
        message = f"{len(values)} {what}s, the limit is {most} (http.max_batch)"
        raise Problem("too-large", message, [fault("", message, "too_large")])
    return values


async def _read(request: Request, shape: Shape, limits: BodyLimits) -> bytes:
    arrived = request.scope["state"].get(ARRIVED)
    try:
        return await read_body(
            request.stream(),
            shape,
            limits,
            declared=request.headers.get("content-length", ""),
            has_arrived=bool(arrived and arrived()),
        )
    except ClientDisconnect:
        raise ended_early() from None
