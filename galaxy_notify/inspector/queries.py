"""The filters of `Inspector`, named as the options of the commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

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


class QueryArguments(NamedTuple):
    """A query as it was given, read once: the words of a filter may come from an iterator."""

    words: Mapping[str, tuple[str, ...]]
    user: str | None
    since: Moment | None
    until: Moment | None

    @classmethod
    def of(cls, query: ListQuery | DeadLetterQuery, kind: type[_Query]) -> QueryArguments:
        """Read a query; raise `TypeError` for a name that its kind does not have."""
        rest: dict[str, Any] = dict(query)
        for name in rest:
            if name not in kind.__annotations__ | _Query.__annotations__:
                raise TypeError(f"unexpected keyword argument {name!r}")
        user, since, until = (rest.pop(name, None) for name in ("user", "since", "until"))
        return cls({name: _words(words) for name, words in rest.items()}, user, since, until)

    def any_of(self, name: str) -> tuple[str, ...]:
        """Return the words of which any will do; none where anything will."""
        return self.words.get(name, ())


def list_filter(deployment: Deployment, arguments: QueryArguments) -> ListFilter:
    """Return the filter of a query; raise `InvalidQuery`."""
    any_of, times = arguments.any_of, _moments(deployment, arguments)
    return ListFilter(any_of("state"), any_of("type"), any_of("producer"), arguments.user, *times)


def dead_filter(deployment: Deployment, arguments: QueryArguments, limit: int) -> DeadFilter:
    """Return the filter of a query; raise `InvalidQuery`."""
    any_of, (since_ms, until_ms) = arguments.any_of, _moments(deployment, arguments)
    return DeadFilter(
        any_of("channel"),
        any_of("type"),
        any_of("producer"),
        any_of("failure_class"),
        since_ms,
        until_ms,
        limit,
    )


def _words(words: Words | None) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words or ())


def _moments(deployment: Deployment, arguments: QueryArguments) -> tuple[int | None, int | None]:
    """Return both times in epoch ms; a time ago is counted by the server's clock."""
    times = [("since", arguments.since), ("until", arguments.until)]
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
