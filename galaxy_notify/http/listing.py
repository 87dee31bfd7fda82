"""The list of what was accepted, page by page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.http.answers import answers
from galaxy_notify.http.auth import Client, needs
from galaxy_notify.http.parts import parts_of
from galaxy_notify.http.problems import answer_of, not_valid, packed
from galaxy_notify.http.queries import ListQuery, moment
from galaxy_notify.http.shapes import Notifications
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import list_notifications
from galaxy_notify.redis_inspect.reading import server_now
from galaxy_notify.redis_state.place import Place

router = APIRouter(tags=["notifications"])

Looker = Annotated[Client, Depends(needs("read-only"))]


@router.get("/v1/notifications", responses=answers(422, ok={200: Notifications}))
async def list_accepted(
    request: Request, client: Looker, query: Annotated[ListQuery, Query()]
) -> Response:
    """List what was accepted, the newest first, with what was cancelled since."""

    def read(place: Place) -> bytes:
        try:
            wanted = _filter(place, query, client)
            page = list_notifications(place, wanted, query.limit, query.cursor)
        except InvalidQuery as error:
            raise not_valid(error.field, error.message) from None
        told = [item.as_json() for item in page.items]
        foreign = page.foreign if client.producers is None else []
        return packed({"notifications": told, "cursor": page.cursor, "unlisted": foreign})

    return answer_of(await parts_of(request).threads.reads.run(read))


def _filter(place: Place, query: ListQuery, client: Client) -> ListFilter:
    now_ms = server_now(place) if query.since or query.until else 0
    return ListFilter(
        states=tuple(query.state),
        types=tuple(query.type),
        producers=client.among(query.producer),
        user=query.user,
        since_ms=moment("since", query.since, now_ms),
        until_ms=moment("until", query.until, now_ms),
    )
