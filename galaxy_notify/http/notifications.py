"""One notification: explain it, take it back, give it another due time."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.http.answers import BODY, answers, body_of
from galaxy_notify.http.auth import Client, needs
from galaxy_notify.http.body import json_object
from galaxy_notify.http.counting import ANY
from galaxy_notify.http.moment_schema import MOMENT
from galaxy_notify.http.parts import parts_of
from galaxy_notify.http.problems import (
    Problem,
    answer,
    answer_of,
    not_valid,
    packed_list,
    redis_faults,
    refused,
)
from galaxy_notify.http.queries import RouteQuery, ShowQuery
from galaxy_notify.http.shapes import CancelledRoutes, Moved, Notification
from galaxy_notify.intake.receipts import Cancelled, Rescheduled
from galaxy_notify.model.ids import Target, parse_target
from galaxy_notify.operations.show import show
from galaxy_notify.redis_state.place import Place

router = APIRouter(tags=["notifications"])

Looker = Annotated[Client, Depends(needs("producer", "read-only"))]
Canceller = Annotated[Client, Depends(needs("producer", "operator"))]
Id = Annotated[str, Path(description="A notification id, as a receipt has it")]
_DUE: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["due_at"],
    "properties": {"due_at": MOMENT},
}


@router.get(
    "/v1/notifications/{notification_id}", responses=answers(404, 422, ok={200: Notification})
)
async def explain(
    request: Request,
    client: Looker,
    notification_id: Id,
    query: Annotated[ShowQuery, Query()],
) -> Response:
    """Explain one notification: each route, its history, and why it waits."""
    target = Target(_known_form(notification_id), query.route, client.producers)

    def read(place: Place) -> bytes:
        shown = show(place, target)
        if shown is None:
            raise _unknown(notification_id, query.route)
        told: dict[str, Any] = shown.as_json(payload=query.payload)
        return packed_list(told, "routes", told.pop("routes"))

    return answer_of(await parts_of(request).threads.reads.run(read))


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
        done = await parts.notifier.cancel(
            asked, route=route, actor=client.actor, producers=client.producers
        )
    if done.cancelled:
        channel = route.partition(":")[0] if route else ANY
        parts.telemetry.routes("cancelled", channel, done.cancelled)
    return _changed(asked, route, "cancelled", done.cancelled, done)


@router.patch(
    "/v1/notifications/{notification_id}",
    responses=answers(*BODY, 404, 409, ok={200: Moved}),
    openapi_extra=body_of(_DUE),
)
async def reschedule(
    request: Request,
    client: Canceller,
    notification_id: Id,
    query: Annotated[RouteQuery, Query()],
) -> Response:
    """Have a notification, or one of its routes, due at another time; in the past means now."""
    parts, asked, route = parts_of(request), _known_form(notification_id), query.route
    body = await json_object(request, "due_at")
    if "due_at" not in body:
        raise not_valid("due_at", "is required")
    with redis_faults():
        try:
            done = await parts.notifier.reschedule(
                asked,
                body["due_at"],
                route=route,
                actor=client.actor,
                producers=client.producers,
            )
        except InvalidIntent as error:
            raise refused(error) from None
    return _changed(asked, route, "moved", done.moved, done)


def _changed(
    notification_id: str, route: str | None, word: str, routes: int, done: Cancelled | Rescheduled
) -> Response:
    """Return what a change did to so many routes; raise a `Problem` where it did nothing."""
    if done.unknown:
        raise _unknown(notification_id, route)
    told = {
        "notification_id": notification_id,
        "route": route,
        word: routes,
        "too_late": done.too_late,
    }
    if done.too_late and not routes:
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
