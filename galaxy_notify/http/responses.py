"""Answers: JSON documents, and problems (RFC 9457) for everything that is not a success."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from starlette.responses import Response

from galaxy_notify.errors import (
    CallFailed,
    ConfigurationError,
    Invalid,
    Misconfigured,
    ServerRefused,
    Unavailable,
)
from galaxy_notify.intake.receipts import Refusal
from galaxy_notify.model.json_data import printable
from galaxy_notify.operations.refusal import refusal
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import BUSY, RedisFault
from galaxy_notify.web.problems import MEDIA_TYPE, Problem, fault, packed

#: Long enough for a failover, short enough for a waiting client, in seconds.
RETRY_AFTER_S: Final = 2


#: As many values are named at most.
_NAMED: Final = 10
#: Where FastAPI found it: no part of the field's name.
_PLACES: Final = ("query", "path", "header", "body")
_CODES: Final = {"conflict": "conflict", "too_large": "too-large", "invalid": "invalid"}


def packed_list(about: Mapping[str, object], name: str, items: Iterable[object]) -> bytes:
    """Return a JSON text with a long list, item by item, so that other threads run in between."""
    head = packed(about)[:-1] + (b"," if about else b"")
    return b"%s%s:[%s]}" % (head, packed(name), b",".join(packed(item) for item in items))


def answer_of(body: bytes) -> Response:
    """Return a JSON text, packed in the thread that read its document, as the answer."""
    return Response(body, media_type="application/json")


def answer(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON document as the answer."""
    return Response(packed(document), status, headers, media_type="application/json")


def problem_response(problem: Problem) -> Response:
    """Return a problem as the answer."""
    return Response(problem.body, problem.status, problem.headers, media_type=MEDIA_TYPE)


def refused(error: Invalid | Refusal, more: Mapping[str, object] | None = None) -> Problem:
    """Return the problem for an intent or a value that was refused."""
    detail = f"{error.field}: {error.message}" if error.field else error.message
    errors = [fault(error.field, error.message, error.code)]
    return Problem(_CODES[error.code], detail, errors, more=more)


def not_valid(field: str, message: str) -> Problem:
    """Return the problem for one value that is not valid."""
    return Problem("invalid", f"{field}: {message}", [fault(field, message)])


def refused_values(found: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem that names each value which is not valid."""
    errors = [fault(_field(one["loc"]), _message(one)) for one in found[:_NAMED]]
    first = errors[0]
    return Problem("invalid", f"{first['field']}: {first['message']}", errors)


def _field(place: Sequence[str | int]) -> str:
    steps = list(place[1:] if place and place[0] in _PLACES else place)
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{printable(one)}" for one in steps)
    return text.removeprefix(".")


def _message(found: Mapping[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return "is not known"
    if found["type"] in ("model_type", "model_attributes_type"):
        return "must be an object"
    return printable(found["msg"], 200)


def internal() -> Problem:
    """Return the problem for a defect of this server."""
    return Problem("internal", "see the log, by request id")


def unavailable(
    detail: str, kind: str = "unavailable", more: Mapping[str, object] | None = None
) -> Problem:
    """Return the problem for what may well work in a moment."""
    return Problem(kind, detail, (), {"Retry-After": str(RETRY_AFTER_S)}, more)


@contextmanager
def redis_faults() -> Iterator[None]:
    """Turn errors of Redis and of the deployment into problems."""
    try:
        yield
    except RedisFault as error:
        raise failed(failed_call(error, refusal(error.fault))) from error
    except CallFailed as error:
        raise failed(error) from error
    except ConfigurationError as error:
        raise Problem(
            "misconfigured", f"the settings do not match the deployment: {error}"
        ) from error


@contextmanager
def feed_faults() -> Iterator[None]:
    """Turn errors of calls that change Redis and Postgres into problems: their text says what is
    done.
    """
    with redis_faults():
        try:
            yield
        except Misconfigured:
            raise
        except Unavailable as error:
            raise feed_failed(error) from error


def feed_failed(error: CallFailed, more: Mapping[str, object] | None = None) -> Problem:
    """Return the problem for a call of the feed that failed."""
    if isinstance(error, Misconfigured):
        return failed(error, more)
    named = {"notification_id": error.notification_id} if error.notification_id else {}
    return unavailable(str(error), more={**named, **(more or {})})


def failed(error: CallFailed, more: Mapping[str, object] | None = None) -> Problem:
    """Return the problem for a call that failed: unknown, refused just now, or for good."""
    named = {"notification_id": error.notification_id} if error.notification_id else {}
    more = {**named, **(more or {})}
    if isinstance(error, Misconfigured):
        return Problem("misconfigured", str(error), more=more)
    if error.code == BUSY:
        return unavailable(str(error), "busy", more)
    if isinstance(error, ServerRefused):
        return unavailable(str(error), "refused", more)
    return unavailable(f"redis is away: {error}", more=more)
