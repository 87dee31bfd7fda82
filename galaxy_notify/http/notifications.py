"""Notifications: accept one or many, explain one, take it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from galaxy_notify.errors import Unavailable
from galaxy_notify.http.answers import BODY, answers, body_of
from galaxy_notify.http.auth import Client, needs
from galaxy_notify.http.body import json_body
from galaxy_notify.http.counting import ANY, count_accepted
from galaxy_notify.http.intent_schema import INTENT, INTENTS
from galaxy_notify.http.intents import KEY_FORM, with_headers, with_key, without_key
from galaxy_notify.http.parts import parts_of
from galaxy_notify.http.problems import (
    Problem,
    answer,
    fault,
    redis_faults,
    refused,
    unavailable,
)
from galaxy_notify.http.queries import AcceptQuery, RouteQuery, ShowQuery
from galaxy_notify.http.shapes import CancelledRoutes, Notification, Receipt, Receipts
from galaxy_notify.intake import receipts
from galaxy_notify.model.ids import Target, parse_target
from galaxy_notify.operations.show import Shown, show
from galaxy_notify.redis_state.place import Place

router = APIRouter(tags=["notifications"])

Producer = Annotated[Client, Depends(needs("producer"))]
Looker = Annotated[Client, Depends(needs("producer", "read-only"))]
Canceller = Annotated[Client, Depends(needs("producer", "operator"))]
Id = Annotated[str, Path(description="A notification id, as a receipt has it")]
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


@router.get(
    "/v1/notifications/{notification_id}", responses=answers(404, 422, ok={200: Notification})
)
async def explain(
    request: Request,
    _: Looker,
    notification_id: Id,
    query: Annotated[ShowQuery, Query()],
) -> Response:
    """Explain one notification: each route, its history, and why it waits."""
    target = Target(_known_form(notification_id), query.route)

    def read(place: Place) -> Shown | None:
        return show(place, target)

    shown = await parts_of(request).threads.run(read)
    if shown is None:
        raise _unknown(notification_id, query.route)
    return answer(shown.as_json(payload=query.payload))


@router.delete(
    "/v1/notifications/{notification_id}",
    responses=answers(404, 409, 422, ok={200: CancelledRoutes}),
)
async def cancel(
    request: Request,
    client: Canceller,
    notification_id: Id,
    query: Annotated[RouteQuery, Query()],
) -> Response:
    """Take a notification, or one of its routes, back: what is not in the stream yet."""
    parts, asked, route = parts_of(request), _known_form(notification_id), query.route
    with redis_faults():
        done = await parts.notifier.cancel(asked, route=route, actor=client.actor)
    if done.unknown:
        raise _unknown(notification_id, route)
    if done.cancelled:
        channel = route.partition(":")[0] if route else ANY
        parts.telemetry.routes("cancelled", channel, done.cancelled)
    told = {
        "notification_id": asked,
        "route": route,
        "cancelled": done.cancelled,
        "too_late": done.too_late,
    }
    if done.too_late and not done.cancelled:
        raise Problem("too-late", f"too late for {done.too_late} routes", more=told)
    return answer(told)


def _known_form(notification_id: str) -> str:
    target = parse_target(notification_id)
    if target is None or target.route_id is not None:
        raise _unknown(notification_id, None)
    return target.notification_id


def _unknown(notification_id: str, route: str | None) -> Problem:
    what = f"no route {route} of " if route else "no notification "
    return Problem("not-found", f"there is {what}{notification_id[:80]}")


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
    problem = unavailable(f"redis is away: {error}", more={"receipts": known})
    problem.errors = errors
    return problem
