"""Handing notifications in: one, or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from galaxy_notify.errors import Unavailable
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
    fault,
    is_busy,
    redis_faults,
    refused,
    unavailable,
)
from galaxy_notify.http.queries import AcceptQuery
from galaxy_notify.http.shapes import Receipt, Receipts
from galaxy_notify.intake import receipts

router = APIRouter(tags=["notifications"])

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
    _: Producer,
    query: Annotated[AcceptQuery, Query()],
) -> Response:
    """Accept one intent: 201, or 200 where the same one was accepted before."""
    parts = parts_of(request)
    value = with_headers(with_key(await json_body(request), request.headers), request.headers)
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
async def accept_many(request: Request, _: Producer) -> Response:
    """Accept many intents; each has a receipt of its own, also where it was refused."""
    parts = parts_of(request)
    without_key(request.headers)
    values = _list_of(await json_body(request), parts.settings.http.max_batch)
    values = [with_headers(value, request.headers) for value in values]
    with redis_faults():
        try:
            found = await parts.notifier.accept_many(values)
        except Unavailable as error:
            raise _partly(error, len(values)) from error
    count_accepted(parts.telemetry, values, found)
    return answer(_together(found))


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


def _partly(error: Unavailable, number: int) -> Problem:
    """Return the problem for many of which some are unknown; the others have their receipts."""
    found = error.receipts or [None] * number
    known = [{"item": place} | _told(one) for place, one in enumerate(found) if one is not None]
    errors: list[Mapping[str, object]] = [
        {"item": place, "code": "unknown", "message": "it may have been accepted: repeat it"}
        for place, one in enumerate(found)
        if one is None
    ]
    busy = is_busy(error)
    detail = str(error) if busy else f"redis is away: {error}"
    problem = unavailable(detail, "busy" if busy else "unavailable", {"receipts": known})
    problem.errors = errors
    return problem
