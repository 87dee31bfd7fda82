"""The filters of `Inspector`, named as the options of the commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypedDict

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.moments import moment_ms, to_ms
from galaxy_notify.operations.dead_filter import DeadFilter
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.redis_inspect.reading import server_now
from galaxy_notify.redis_state.deployment import Deployment

#: One word, or several of which any will do.
Words = str | Iterable[str]
#: RFC 3339 text, epoch ms, an aware datetime, or a time ago such as ``15m``, ``2h``, ``3d``.
Moment = datetime | int | str


class _Query(TypedDict, total=False):
    type: Words
    producer: Words
    since: Moment | None
    until: Moment | None


class ListQuery(_Query, total=False):
    """What a notification must be; ``since`` and ``until`` are times of accept.

    ``state`` is a status of one of its routes, or ``open``; with a ``user`` of the user's own.
    """

    state: Words
    user: str | None


class DeadLetterQuery(_Query, total=False):
    """What a dead letter must be; ``since`` and ``until`` are when it died."""

    channel: Words
    failure_class: Words


def list_filter(deployment: Deployment, query: ListQuery) -> ListFilter:
    """Return the filter of a query; raise `InvalidQuery`."""
    given = _checked(query, ListQuery)
    return ListFilter(
        _words(given.get("state")),
        _words(given.get("type")),
        _words(given.get("producer")),
        given.get("user"),
        *_moments(deployment, given),
    )


def dead_filter(deployment: Deployment, query: DeadLetterQuery, limit: int) -> DeadFilter:
    """Return the filter of a query; raise `InvalidQuery`."""
    given = _checked(query, DeadLetterQuery)
    since_ms, until_ms = _moments(deployment, given)
    return DeadFilter(
        _words(given.get("channel")),
        _words(given.get("type")),
        _words(given.get("producer")),
        _words(given.get("failure_class")),
        since_ms,
        until_ms,
        limit,
    )


def _checked(query: Any, kind: Any) -> dict[str, Any]:
    for name in query:
        if name not in kind.__annotations__ | _Query.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
    return dict(query)


def _words(given: Words | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _moments(deployment: Deployment, given: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return both times in epoch ms; a time ago is counted by the server's clock."""
    times = [("since", given.get("since")), ("until", given.get("until"))]
    now_ms = server_now(deployment) if any(isinstance(value, str) for _, value in times) else 0
    since_ms, until_ms = (_moment(name, value, now_ms) for name, value in times)
    return since_ms, until_ms


def _moment(name: str, value: Moment | None, now_ms: int) -> int | None:
    if value is None:
        return None
    try:
        return moment_ms(value, now_ms) if isinstance(value, str) else to_ms(value)
    except ValueError as error:
        raise InvalidQuery(name, str(error)) from None
