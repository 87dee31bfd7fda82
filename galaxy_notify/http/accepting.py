"""Handing notifications in: one, or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from galaxy_notify.errors import CallFailed, InvalidIntent
from galaxy_notify.http.answers import BODY, answers, body_of
from galaxy_notify.http.auth import Client, needs
from galaxy_notify.http.body import json_body
from galaxy_notify.http.counting import count_accepted
from galaxy_notify.http.intent_schema import INTENT, INTENTS
from galaxy_notify.http.intents import KEY_FORM, with_headers, with_key, without_key
from galaxy_notify.http.parts import parts_of
from galaxy_notify.http.problems import (
    Problem,
    answer,
    failed,
    fault,
    not_valid,
    redis_faults,
    refused,
)
from galaxy_notify.http.queries import AcceptQuery
from galaxy_notify.http.shapes import Receipt, Receipts
from galaxy_notify.intake import receipts
from galaxy_notify.intake.plan import is_recent

router = APIRouter(tags=["notifications"])

_MAYBE: Final[Mapping[str, object]] = {
    "code": "unknown",
    "message": "it may have been accepted: repeat it",
}
_NOT_WRITTEN: Final[Mapping[str, object]] = {
    "code": "not_written",
    "message": "it was not accepted: nothing of it was written",
}

Producer = Annotated[Client, Depends(needs("producer"))]
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Stands for the field idempotency_key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": f"^{KEY_FORM}$"},
}


@router.post(
    "/v1/notifications",
    status_code=201,
    responses=answers(*BODY, 409, ok={201: Receipt, 200: Receipt}),
    openapi_extra=body_of(INTENT) | {"parameters": [_KEY]},
)
async def accept(
    request: Request,
    client: Producer,
    query: Annotated[AcceptQuery, Query()],
) -> Response:
    """Accept one intent: 201, or 200 where the same one was accepted before."""
    parts = parts_of(request)
    value = with_headers(with_key(await json_body(request), request.headers), request.headers)
    _check_own(client, value, query.notification_id)
    with redis_faults():
        receipt = await parts.notifier.accept(value, notification_id=query.notification_id)
    count_accepted(parts.telemetry, [value], [receipt])
    if receipt.error is not None:
        raise refused(receipt.error, _same_key(receipt))
    if receipt.status == "duplicate":
        return answer(_told(receipt))
    path = f"/v1/notifications/{receipt.notification_id}"
    return answer(_told(receipt), 201, {"Location": path})


@router.post(
    "/v1/notifications:batch",
    responses=answers(*BODY, ok={200: Receipts}),
    openapi_extra=body_of(INTENTS),
)
async def accept_many(request: Request, client: Producer) -> Response:
    """Accept many intents; each has a receipt of its own, also where it was refused."""
    parts = parts_of(request)
    without_key(request.headers)
    values = _list_of(await json_body(request), parts.settings.http.max_batch)
    values = [_owned(client, with_headers(value, request.headers)) for value in values]
    with redis_faults():
        try:
            found = await parts.notifier.accept_many(values)
        except CallFailed as error:
            raise _partly(error, len(values)) from error
    count_accepted(parts.telemetry, values, found)
    return answer(_together(found))


def _check_own(client: Client, value: object, notification_id: str | None) -> None:
    """Refuse what a bound client may not hand in, or not under this id; raise a `Problem`."""
    message = _foreign(client, value)
    if message:
        errors = [fault("producer", message, "forbidden")]
        raise Problem("forbidden", f"producer: {message}", errors)
    if client.producers is not None and notification_id and not is_recent(notification_id):
        # An id that is made of another producer's key would take the place of that.
        raise not_valid("notification_id", "must be the id of an answer to this intent")


def _owned(client: Client, value: Any) -> Any:
    """Return the intent, or the receipt that refuses one which a bound client may not hand in."""
    message = _foreign(client, value)
    return receipts.refused(InvalidIntent("producer", message)) if message else value


def _foreign(client: Client, value: object) -> str:
    producer = value.get("producer") if isinstance(value, dict) else None
    if not isinstance(producer, str) or client.owns(producer):
        return ""
    return f"{client.name} is bound to {', '.join(sorted(client.producers or ()))}"


def _list_of(value: object, most: int) -> list[Any]:
    if not isinstance(value, list):
        message = "the body must be a list of intents"
        raise Problem("invalid", message, [fault("", message)])
    if not value:
        raise Problem("invalid", "the list is empty", [fault("", "needs at least one intent")])
    if len(value) > most:
        message = f"{len(value)} intents, the limit is {most} (http.max_batch)"
        raise Problem("too-large", message, [fault("", message, "too_large")])
    return value


def _told(receipt: receipts.Receipt) -> dict[str, Any]:
    told = receipt.as_json(0)
    del told["line"]
    return told


def _same_key(receipt: receipts.Receipt) -> dict[str, object]:
    return {"notification_id": receipt.notification_id} if receipt.notification_id else {}


def _together(found: Sequence[receipts.Receipt]) -> dict[str, object]:
    statuses = [receipt.status for receipt in found]
    return {
        "accepted": statuses.count("accepted"),
        "duplicates": statuses.count("duplicate"),
        "refused": statuses.count("refused"),
        "receipts": [{"item": place} | _told(one) for place, one in enumerate(found)],
    }


def _partly(error: CallFailed, number: int) -> Problem:
    """Return the problem for many of which some are unknown; the others have their receipts."""
    found = error.receipts or [None] * number
    known = [{"item": place} | _told(one) for place, one in enumerate(found) if one is not None]
    missing = [place for place, one in enumerate(found) if one is None]
    problem = failed(error, {"receipts": known})
    problem.errors = [
        {"item": place, **(_NOT_WRITTEN if place in error.not_written else _MAYBE)}
        for place in missing
    ]
    return problem
