"""The filters of `Inspector`, named as the options of the commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.moments import moment_ms, to_ms
from galaxy_notify.redis_state.deployment import Deployment, server_now

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


#: Words that a query has → the field of `ListFilter` or `DeadFilter` that holds them.
_FIELDS: Final = {
    "state": "states",
    "type": "types",
    "producer": "producers",
    "channel": "channels",
    "failure_class": "classes",
}


def read_once(query: ListQuery | DeadLetterQuery, kind: type[_Query]) -> dict[str, Any]:
    """Return a query by the fields of its filter: its words may come from an iterator.

    Raises `TypeError` for a name that its kind does not have.
    """
    fields: dict[str, Any] = {}
    for name, value in query.items():
        if name not in kind.__annotations__ | _Query.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
        fields[_FIELDS.get(name, name)] = _words(value) if name in _FIELDS else value
    return fields


def in_epoch_ms(deployment: Deployment, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with both times in epoch ms; raise `InvalidQuery`.

    A time ago is counted by the server's clock.
    """
    times = {name: fields.get(name) for name in ("since", "until")}
    now_ms = server_now(deployment) if any(isinstance(at, str) for at in times.values()) else 0
    asked = {f"{name}_ms": _moment(name, at, now_ms) for name, at in times.items()}
    return {name: value for name, value in fields.items() if name not in times} | asked


def _words(words: Any) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words or ())


def _moment(name: str, value: Moment | None, now_ms: int) -> int | None:
    if value is None:
        return None
    try:
        return moment_ms(value, now_ms) if isinstance(value, str) else to_ms(value)
    except ValueError as error:
        raise InvalidQuery(name, str(error)) from None
