"""Handing intents in: one, or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import Headers

from galaxy_notify.errors import CallFailed, InvalidIntent
from galaxy_notify.http.auth import Client, not_owned
from galaxy_notify.http.body import checked_batch, json_body
from galaxy_notify.http.dependencies import ANY_CHANNEL, Producer, producer, state_of
from galaxy_notify.http.idempotency_key import KEY, refuse_key, with_key
from galaxy_notify.http.middleware import request_id_in
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.queries import AcceptQuery
from galaxy_notify.http.request_schemas import INTENT, INTENTS
from galaxy_notify.http.responses import answer, failed, not_valid, redis_faults, refused
from galaxy_notify.http.schemas import Receipt, Receipts
from galaxy_notify.intake import receipts
from galaxy_notify.intake.plan import is_recent
from galaxy_notify.model.intent import TRACEPARENT
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.web.problems import Problem, fault

router = APIRouter(tags=["notifications"])

_NO_QUERY: Final = AcceptQuery()
_MAYBE: Final[Mapping[str, object]] = {
    "code": "unknown",
    "message": "it may have been accepted: repeat it",
}
_NOT_WRITTEN: Final[Mapping[str, object]] = {
    "code": "not_written",
    "message": "it was not accepted: nothing of it was written",
}


@router.post(
    "/v1/notifications",
    status_code=201,
    responses=responses(*BODY, 409, ok={201: Receipt, 200: Receipt}),
    openapi_extra=body_of(INTENT) | {"parameters": [KEY]},
)
async def accept(
    request: Request,
    client: Producer,
    query: Annotated[AcceptQuery, Query()],
) -> Response:
    """Accept one intent: 201, or 200 where the same one was accepted before."""
    state = state_of(request)
    value = _with_headers(with_key(await json_body(request), request.headers), request.headers)
    _check_own(client, value, query.notification_id)
    with redis_faults():
        receipt = await state.notifier.accept(value, notification_id=query.notification_id)
    _count_accepted(state.telemetry, [value], [receipt])
    if receipt.error is not None:
        same_key = {"notification_id": receipt.notification_id} if receipt.notification_id else {}
        raise refused(receipt.error, same_key)
    if receipt.status == "duplicate":
        return answer(_receipt_json(receipt))
    path = f"/v1/notifications/{receipt.notification_id}"
    return answer(_receipt_json(receipt), 201, {"Location": path})


@router.post(
    "/v1/notifications:batch",
    responses=responses(*BODY, ok={200: Receipts}),
    openapi_extra=body_of(INTENTS),
)
async def accept_many(request: Request, client: Producer) -> Response:
    """Accept many intents; each has a receipt of its own, also where it was refused."""
    state = state_of(request)
    refuse_key(request.headers, "intent")
    values = _checked_list(await json_body(request), state.settings.http.max_batch)
    values = [_owned(client, _with_headers(value, request.headers)) for value in values]
    with redis_faults():
        try:
            found = await state.notifier.accept_many(values)
        except CallFailed as error:
            raise _partly_failed(error, len(values)) from error
    _count_accepted(state.telemetry, values, found)
    return answer(_batch_json(found))


async def accept_directly(request: Request) -> Response:
    """Answer `accept` to a request without a query, outside of the framework's injection."""
    return await accept(request, await producer(request), _NO_QUERY)


async def accept_many_directly(request: Request) -> Response:
    """Answer `accept_many` to a request without a query, outside of the framework's injection."""
    return await accept_many(request, await producer(request))


def _check_own(client: Client, value: object, notification_id: str | None) -> None:
    """Raise a `Problem` if a bound client may not hand this in, or not under this id."""
    message = _not_owned(client, value)
    if message:
        raise not_owned(message)
    if client.producers is not None and notification_id and not is_recent(notification_id):
        # An id that is made of another producer's key would take the place of that.
        raise not_valid(
            "notification_id", "must be the notification_id from an earlier response to this intent"
        )


def _owned(client: Client, value: Any) -> Any:
    """Return the intent, or the receipt that refuses one which a bound client may not hand in."""
    message = _not_owned(client, value)
    return receipts.refused(InvalidIntent("producer", message)) if message else value


def _not_owned(client: Client, value: object) -> str:
    return client.refusal_of(value.get("producer")) if isinstance(value, dict) else ""


def _checked_list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list):
        message = "the body must be a list of intents"
        raise Problem("invalid", message, [fault("", message)])
    return checked_batch(value, "intent", most)


def _receipt_json(receipt: receipts.Receipt) -> dict[str, Any]:
    document = receipt.as_json(0)
    del document["line"]
    return document


def _batch_json(found: Sequence[receipts.Receipt]) -> dict[str, object]:
    statuses = [receipt.status for receipt in found]
    return {
        "accepted": statuses.count("accepted"),
        "duplicates": statuses.count("duplicate"),
        "refused": statuses.count("refused"),
        "receipts": [{"item": place} | _receipt_json(one) for place, one in enumerate(found)],
    }


def _partly_failed(error: CallFailed, number: int) -> Problem:
    """Return the problem for a batch with unknown outcomes, beside the receipts that are known."""
    found = error.receipts or [None] * number
    known = [
        {"item": place} | _receipt_json(one) for place, one in enumerate(found) if one is not None
    ]
    missing = [place for place, one in enumerate(found) if one is None]
    problem = failed(error, {"receipts": known})
    problem.errors = [
        {"item": place, **(_NOT_WRITTEN if place in error.not_written else _MAYBE)}
        for place in missing
    ]
    return problem


def _with_headers(value: Any, headers: Headers) -> Any:
    """Return an intent with the request id and trace of the headers, where it has none itself.

    A value that is not an object is left for the accept to refuse.
    """
    if not isinstance(value, Mapping):
        return value
    added = dict(value)
    request_id, traceparent = headers.get("x-request-id", ""), headers.get("traceparent", "")
    if added.get("request_id") is None and request_id_in(request_id):
        added["request_id"] = request_id
    if added.get("traceparent") is None and TRACEPARENT.fullmatch(traceparent):
        added["traceparent"] = traceparent
    return added


def _count_accepted(
    telemetry: Telemetry, values: Sequence[Any], found: Sequence[receipts.Receipt]
) -> None:
    """Count accepted notifications, their routes by channel, repeated and refused ones."""
    accepted = duplicates = skipped = 0
    routes: dict[str, int] = {}
    for value, receipt in zip(values, found, strict=True):
        if receipt.error is not None:
            telemetry.refused(receipt.error.code)
        elif receipt.status == "duplicate":
            duplicates += 1
        else:
            accepted += 1
            skipped += receipt.skipped
            channels = set(value.get("channels") or (ANY_CHANNEL,))
            # Each channel that is named has a route for each recipient.
            for channel in channels:
                routes[channel] = routes.get(channel, 0) + receipt.routes // len(channels)
    if skipped:
        telemetry.routes("skipped", ANY_CHANNEL, skipped)
    if accepted or duplicates:
        telemetry.accepted(accepted, routes, duplicates)
