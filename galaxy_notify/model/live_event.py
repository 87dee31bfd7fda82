"""An event as users see it: what recent lists hold and what streams send."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

import msgpack

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.ids import first_part

_FIELDS: Final = (str, str, str, str, str, dict, int)
_RETRACTION: Final = (str,)
_UNREADABLE: Final = (ValueError, TypeError, RecursionError, OverflowError, MemoryError)


class LiveEvent(NamedTuple):
    """The fields of an event that its user may see; *title* and *body* may be empty."""

    event_id: str
    type: str
    severity: str
    title: str
    body: str
    data: Mapping[str, Any]
    created_at_ms: int

    @property
    def notification_id(self) -> str:
        """The id of the whole notification, as its receipt names it."""
        return first_part(self.event_id.partition("/")[0])

    @property
    def packed(self) -> bytes:
        """The event as a recent list holds it: an array, for names would double its size."""
        packed: bytes = msgpack.packb(self)
        return packed

    def document(self, offset: int | None = None) -> dict[str, Any]:
        """Return the event as JSON data; with the offset at which its user has it."""
        fields: dict[str, Any] = {"notification_id": self.notification_id, **self._asdict()}
        return fields if offset is None else {**fields, "offset": offset}


class Retraction(NamedTuple):
    """That a notification was taken back: its users are to show it no more.

    It has a place of its own among the events of a user, so a client that was away learns of it.
    """

    notification_id: str

    @property
    def packed(self) -> bytes:
        """The retraction as a recent list holds it: an array of the id alone."""
        packed: bytes = msgpack.packb(self)
        return packed

    def document(self, offset: int | None = None) -> dict[str, Any]:
        """Return the retraction as JSON data; with the offset at which its user has it."""
        fields: dict[str, Any] = self._asdict()
        return fields if offset is None else {**fields, "offset": offset}


def live_event(event_id: str, payload: Mapping[str, Any]) -> LiveEvent:
    """Return the event of a payload that `unpack_payload` has read.

    Raises `Corrupt` for a number that JSON does not have: nobody could be sent the event.
    """
    if not _is_finite(payload.get("data", {})):
        raise Corrupt("payload: holds a number that is not finite")
    return LiveEvent(
        event_id=event_id,
        type=payload["type"],
        severity=payload.get("severity", "info"),
        title=payload.get("title", ""),
        body=payload.get("body", ""),
        data=payload.get("data", {}),
        created_at_ms=payload["created_at_ms"],
    )


def _is_finite(data: Any) -> bool:
    if type(data) is float:
        return isfinite(data)
    if type(data) is dict:
        return all([_is_finite(value) for value in data.values()])
    return type(data) is not list or all([_is_finite(value) for value in data])


def unpack_live_event(packed: bytes) -> LiveEvent | Retraction:
    """Return an event or a retraction that was packed; raise `Corrupt` if it is invalid."""
    try:
        fields = msgpack.unpackb(packed, max_ext_len=0, max_bin_len=0)
    except _UNREADABLE as error:
        raise Corrupt(f"event: {type(error).__name__}: {error}"[:200]) from error
    types = tuple(map(type, fields)) if type(fields) is list else ()
    if types == _RETRACTION:
        return Retraction(*fields)
    if types != _FIELDS:
        raise Corrupt("event: not the fields of an event")
    return LiveEvent(*fields)
