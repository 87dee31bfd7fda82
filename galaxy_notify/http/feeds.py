"""The feeds of users: list one, and publish in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from galaxy_notify.errors import InvalidPublication
from galaxy_notify.feed import receipts
from galaxy_notify.feed.page_text import page_text
from galaxy_notify.feed.prepared import Prepared
from galaxy_notify.feed.receipts import FeedReceipt
from galaxy_notify.http.auth import Client, not_owned
from galaxy_notify.http.body import checked_batch, json_body
from galaxy_notify.http.dependencies import AppState, Producer, Reader, state_of
from galaxy_notify.http.idempotency_key import KEY, refuse_key, with_key
from galaxy_notify.http.openapi import BODY, body_of, responses
from galaxy_notify.http.preferences import User
from galaxy_notify.http.queries import FeedQuery
from galaxy_notify.http.request_schemas import PUBLICATIONS
from galaxy_notify.http.responses import answer, answer_of, feed_failed, feed_faults, refused
from galaxy_notify.http.schemas import FeedPage, Published, PublishedReceipt
from galaxy_notify.intake.plan import is_recent
from galaxy_notify.web.problems import Problem

if TYPE_CHECKING:
    # It needs psycopg, and a deployment may have no feed.
    from galaxy_notify.feed.async_feed import AsyncFeed

router = APIRouter(tags=["feeds"])

_PATH: Final = "/v1/users/{user}/feed"
_MAYBE: Final[dict[str, object]] = {
    "code": "unknown",
    "message": "it may be in the feed: repeat it with this notification_id",
}
_NOT_WRITTEN: Final[dict[str, object]] = {
    "code": "not_written",
    "message": "it is not in the feed: repeat it with this notification_id",
}


@router.get(_PATH, responses=responses(404, 422, ok={200: FeedPage}))
async def list_feed(
    request: Request, client: Reader, user: User, query: Annotated[FeedQuery, Query()]
) -> Response:
    """List the items of a user, newest first, with the counts of the user."""
    feed = _feed(request)
    if client.producers is not None:
        raise Problem("forbidden", f"{client.name} is bound to producers: a feed is of all of them")
    state = state_of(request)
    with _outages_logged(state), feed_faults():
        page = await feed.list(user, **query.model_dump())
    # A page of large items takes long to write.
    return answer_of(await state.parser.run(lambda: page_text(page)))


@router.post(
    _PATH,
    status_code=201,
    responses=responses(*BODY, 404, ok={201: PublishedReceipt, 200: Published}),
    openapi_extra=body_of(PUBLICATIONS) | {"parameters": [KEY]},
)
async def publish(request: Request, client: Producer, user: User) -> Response:
    """Publish in the feed of a user: 201, or 200 for what the user has already, and for a list."""
    feed, state = _feed(request), state_of(request)
    body = await json_body(request)
    if isinstance(body, list):
        refuse_key(request.headers, "publication")
        values = checked_batch(body, "publication", state.settings.http.max_batch)
        with _outages_logged(state), feed_faults():
            return answer(await _publish_many(feed, client, user, values))
    value = with_key(body, request.headers)
    if isinstance(value, dict) and (message := client.refusal_of(value.get("producer"))):
        raise not_owned(message)
    with _outages_logged(state), feed_faults():
        receipt = await _publish(feed, client, user, value)
    return answer(receipt.document(), 201 if receipt.is_new else 200)


async def _publish(feed: AsyncFeed, client: Client, user: str, value: object) -> FeedReceipt:
    """Publish one; raise a `Problem` where that failed, or where it is refused."""
    (wanted,) = await _checked(feed, client, user, [value])
    done = await feed.publish_prepared([wanted])
    if done.failure is not None:
        raise feed_failed(done.failure, _named(wanted))
    (receipt,) = done.receipts
    assert receipt is not None
    if receipt.error is not None:
        raise refused(receipt.error)
    return receipt


async def _publish_many(
    feed: AsyncFeed, client: Client, user: str, values: Sequence[Any]
) -> dict[str, object]:
    """Publish many; return their receipts. Raise a `Problem` where some outcomes are unknown."""
    wanted = await _checked(feed, client, user, values)
    done = await feed.publish_prepared(wanted)
    found = [
        {"item": place, **one.document()}
        for place, one in enumerate(done.receipts)
        if one is not None
    ]
    if done.failure is not None:
        problem = feed_failed(done.failure, {"receipts": found})
        problem.errors = [
            {"item": place, **_named(wanted[place])}
            | (_MAYBE if place < done.unsent else _NOT_WRITTEN)
            for place, one in enumerate(done.receipts)
            if one is None
        ]
        raise problem
    statuses = [one["status"] for one in found]
    return {
        "published": statuses.count("published"),
        "duplicates": statuses.count("duplicate"),
        "refused": statuses.count("refused"),
        "receipts": found,
    }


async def _checked(
    feed: AsyncFeed, client: Client, user: str, values: Sequence[Any]
) -> list[Prepared | FeedReceipt]:
    """Return what is written of each value, or the receipt of one that is refused."""
    given = [{"user": user, **value} if isinstance(value, dict) else value for value in values]
    found = await feed.prepare(given)
    return [_allowed(client, user, *pair) for pair in zip(given, found, strict=True)]


def _allowed(
    client: Client, user: str, value: Mapping[str, Any], found: Prepared | FeedReceipt
) -> Prepared | FeedReceipt:
    """Return what was found, or the receipt that refuses it to this client at this path."""
    if isinstance(found, FeedReceipt):
        return found
    if found.item.user_id != user:
        return receipts.refused(InvalidPublication("user", "must be the user of the path"))
    if message := client.refusal_of(found.item.producer):
        return receipts.refused(InvalidPublication("producer", message))
    is_chosen = value.get("idempotency_key") is None and not found.is_first
    if client.producers is not None and is_chosen and not is_recent(found.item.notification_id):
        # An id that is made of another producer's key would take the place of that.
        message = "must be the notification_id from an earlier response to this publication"
        return receipts.refused(InvalidPublication("notification_id", message))
    return found


def _named(wanted: Prepared | FeedReceipt) -> dict[str, object]:
    """Return the id that repeats a publication."""
    assert isinstance(wanted, Prepared)
    return {"notification_id": wanted.item.notification_id}


@contextmanager
def _outages_logged(state: AppState) -> Iterator[None]:
    """Log when calls begin to fail, and when they work again."""
    try:
        yield
    except Problem as problem:
        if problem.kind in ("unavailable", "misconfigured"):
            state.postgres.down(problem.kind, problem.detail)
        raise
    state.postgres.up()


def _feed(request: Request) -> AsyncFeed:
    feed = state_of(request).feed
    if feed is None:
        raise Problem("not-found", "this deployment has no feed: feed.url is not set")
    return feed
