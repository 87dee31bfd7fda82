"""Notifications: list them; explain, cancel and reschedule one."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from galaxy_notify.http.auth import Client
from galaxy_notify.http.body import json_object
from galaxy_notify.http.dependencies import (
    ANY_CHANNEL,
    ProducerOrOperator,
    ProducerOrReader,
    Reader,
    state_of,
)
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.queries import ListQuery, RouteQuery, ShowQuery, moment
from galaxy_notify.http.request_schemas import MOMENT
from galaxy_notify.http.responses import (
    answer,
    answer_of,
    feed_faults,
    not_valid,
    packed_list,
    redis_faults,
)
from galaxy_notify.http.schemas import CancelledRoutes, Moved, Notifications, RetractedNotification
from galaxy_notify.intake.receipts import Cancelled, Rescheduled
from galaxy_notify.model.ids import Target, first_part, parse_target
from galaxy_notify.operations.documents import ShownNotification
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import list_notifications
from galaxy_notify.operations.show import show
from galaxy_notify.redis_state.deployment import Deployment, server_now
from galaxy_notify.web.problems import Problem, packed

router = APIRouter(tags=["notifications"])

Id = Annotated[str, Path(description="Notification id from a receipt")]
_DUE: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["due_at"],
    "properties": {"due_at": MOMENT},
}


@router.get("/v1/notifications", responses=responses(422, ok={200: Notifications}))
async def list_accepted(
    request: Request, client: Reader, query: Annotated[ListQuery, Query()]
) -> Response:
    """List accepted notifications, newest first, including cancelled ones."""

    def read(deployment: Deployment) -> bytes:
        wanted = _filter(deployment, query, client)
        page = list_notifications(deployment, wanted, query.limit, query.cursor)
        document = [item.as_json() for item in page.items]
        foreign = page.foreign if client.producers is None else []
        return packed({"notifications": document, "cursor": page.cursor, "unlisted": foreign})

    return answer_of(await state_of(request).pools.reads.run(read))


@router.get(
    "/v1/notifications/{notification_id}",
    responses=responses(404, 422, ok={200: ShownNotification}),
)
async def explain(
    request: Request,
    client: ProducerOrReader,
    notification_id: Id,
    query: Annotated[ShowQuery, Query()],
) -> Response:
    """Explain one notification: its routes, their history and why they wait."""
    target = Target(_checked_id(notification_id), query.route, client.producers)

    def read(deployment: Deployment) -> bytes:
        shown = show(deployment, target)
        if shown is None:
            raise _not_found(notification_id, query.route)
        document: dict[str, Any] = shown.as_json(payload=query.payload)
        return packed_list(document, "routes", document.pop("routes"))

    return answer_of(await state_of(request).pools.reads.run(read))


@router.delete(
    "/v1/notifications/{notification_id}",
    responses=responses(404, 409, 422, ok={200: CancelledRoutes}),
)
async def cancel(
    request: Request,
    client: ProducerOrOperator,
    notification_id: Id,
    query: Annotated[RouteQuery, Query()],
) -> Response:
    """Take a notification, or one of its routes, back: what is not in the stream yet."""
    state, asked, route = state_of(request), _checked_id(notification_id), query.route
    with redis_faults():
        done = await state.notifier.cancel(
            asked, route=route, actor=client.actor, producers=client.producers
        )
    if done.cancelled:
        channel = route.partition(":")[0] if route else ANY_CHANNEL
        state.telemetry.routes("cancelled", channel, done.cancelled)
    return _changed(asked, route, "cancelled", done.cancelled, done)


@router.patch(
    "/v1/notifications/{notification_id}",
    responses=responses(*BODY, 404, 409, ok={200: Moved}),
    openapi_extra=body_of(_DUE),
)
async def reschedule(
    request: Request,
    client: ProducerOrOperator,
    notification_id: Id,
    query: Annotated[RouteQuery, Query()],
) -> Response:
    """Have a notification, or one of its routes, due at another time; in the past means now."""
    state, asked, route = state_of(request), _checked_id(notification_id), query.route
    body = await json_object(request, "due_at")
    if "due_at" not in body:
        raise not_valid("due_at", "is required")
    with redis_faults():
        done = await state.notifier.reschedule(
            asked, body["due_at"], route=route, actor=client.actor, producers=client.producers
        )
    return _changed(asked, route, "moved", done.moved, done)


@router.post(
    "/v1/notifications/{notification_id}:retract",
    responses=responses(404, 422, ok={200: RetractedNotification}),
)
async def retract(request: Request, client: ProducerOrOperator, notification_id: Id) -> Response:
    """Take a whole notification back from its users, also where it was delivered."""
    state = state_of(request)
    target = Target(first_part(_checked_id(notification_id)), None, client.producers)
    with feed_faults():
        done = await state.retractor.retract(target, client.actor)
    if done.cancelled:
        state.telemetry.routes("cancelled", ANY_CHANNEL, done.cancelled)
    if not done.found:
        raise _not_found(notification_id, None)
    reached = {"users": len(done.users), "cancelled": done.cancelled}
    return answer({"notification_id": target.notification_id, **reached})


def _changed(
    notification_id: str, route: str | None, word: str, routes: int, done: Cancelled | Rescheduled
) -> Response:
    """Return what a change did to how many routes; raise a `Problem` where it did nothing."""
    if done.unknown:
        raise _not_found(notification_id, route)
    document = {
        "notification_id": notification_id,
        "route": route,
        word: routes,
        "too_late": done.too_late,
    }
    if done.too_late and not routes:
        raise Problem("too-late", f"too late for {done.too_late} routes", more=document)
    return answer(document)


def _checked_id(notification_id: str) -> str:
    target = parse_target(notification_id)
    if target is None or target.route_id is not None:
        raise _not_found(notification_id, None)
    return target.notification_id


def _not_found(notification_id: str, route: str | None) -> Problem:
    what = f"no route {route} of " if route else "no notification "
    return Problem("not-found", f"there is {what}{notification_id[:80]}")


def _filter(deployment: Deployment, query: ListQuery, client: Client) -> ListFilter:
    now_ms = server_now(deployment) if query.since or query.until else 0
    return ListFilter(
        states=tuple(query.state),
        types=tuple(query.type),
        producers=client.among(query.producer),
        user=query.user,
        since_ms=moment("since", query.since, now_ms),
        until_ms=moment("until", query.until, now_ms),
    )
