"""The record of a notification, and how it is kept in Redis.

A stored record is ``1``, eight bytes that tell what was asked for from anything else, and a msgpack
list. The content is packed once, when the intent is accepted, and stays closed in it, so that
forwarding it decodes nothing. Nothing is stored twice: the id is in the key, and what the record
and the event's payload share is put into the payload when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgpack

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.ids import MOST_PARTS

FORMAT: Final = b"1"
DIGEST_BYTES: Final = 8
_REMEMBERED: Final = 256
_SMALL: Final = 16_384
_UNREADABLE: Final = (ValueError, RecursionError, msgpack.UnpackException)
_HEADER: Final = len(FORMAT) + DIGEST_BYTES
# The fields that are left out at the end of a record where they have these values: when it is due
# and expires, its parts and routes, its idempotency key and what traces it.
_USUAL: Final = (None, None, 1, 1, "", "", "", "")
_ALWAYS: Final = 4
# The types of a record's fields; it may be due at once and have no expiry.
_SHAPES: Final = frozenset(
    (int, str, str, bytes, due, expires, int, int, str, str, str, str)[:size]
    for due in (int, type(None))
    for expires in (int, type(None))
    for size in range(_ALWAYS, _ALWAYS + len(_USUAL) + 1)
)
# The first byte of the content's map, and how the payload begins, which has four fields more.
_BEGINNINGS: Final = {
    0x80 + fields: bytes([0x84 + fields]) + msgpack.packb("notification_id") for fields in range(12)
}
# How a text of each length begins, and how the payload ends but for the eight bytes of a moment.
_TEXT: Final = tuple(msgpack.packb("x" * size)[: -size or None] for size in range(256))
_CREATED: Final = msgpack.packb("created_at_ms") + b"\xcf"


@dataclass(slots=True)
class Notification:
    """An accepted intent, or one part of it: shared by all its routes, never to be changed.

    ``content`` is a packed map of what the intent says: ``severity``, ``title``, ``body`` and
    ``data``, which are read from it on demand. Times are epoch ms. ``parts`` are those of the whole
    notification, ``routes`` those of this part.
    """

    notification_id: str
    created_at_ms: int
    type: str
    producer: str
    content: bytes
    asked_due_ms: int | None = None
    expires_at_ms: int | None = None
    parts: int = 1
    routes: int = 1
    idempotency_key: str = ""
    request_id: str = ""
    trace_id: str = ""
    traceparent: str = ""
    _packed: bytes | None = field(default=None, init=False, repr=False, compare=False)
    _payload: dict[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def packed(self) -> bytes:
        """Return the event's payload as the ``msgpack`` encoder forwards it.

        Raises `Corrupt` where the record can be none of ours.
        """
        if self._packed is None:
            try:
                self._packed = self._pack()
            except (LookupError, OverflowError) as error:
                raise Corrupt(f"content: {type(error).__name__}: {error}"[:200]) from error
        return self._packed

    def _pack(self) -> bytes:
        named, content = self.notification_id.encode(), self.content
        return b"".join(
            (
                _BEGINNINGS[content[0]],
                _TEXT[len(named)],
                named,
                self._shared(),
                content[1:],
                _CREATED,
                self.created_at_ms.to_bytes(8, "big"),
            )
        )

    def _shared(self) -> bytes:
        # Those of a hostile record may be of any length.
        remember = len(self.type) + len(self.producer) <= _REMEMBERED
        return (_shared if remember else _shared.__wrapped__)(self.type, self.producer)

    @property
    def due_at_ms(self) -> int:
        """Return when it was to be published first."""
        return self.asked_due_ms or self.created_at_ms

    @property
    def payload(self) -> dict[str, Any]:
        """Return the event's payload as a mapping; raise `Corrupt` where it is none."""
        if self._payload is None:
            self._payload = self._unpack()
        return self._payload

    def _unpack(self) -> dict[str, Any]:
        try:
            payload = msgpack.unpackb(self.packed)
        except (ValueError, RecursionError) as error:
            raise Corrupt(f"payload: {type(error).__name__}: {error}"[:200]) from error
        if not isinstance(payload, dict):
            raise Corrupt("payload: not a map")
        return payload

    @property
    def severity(self) -> str:
        """Return the severity, ``info`` unless the intent said more."""
        return str(self.payload.get("severity", "info"))

    @property
    def title(self) -> str:
        """Return the title, empty where there is none."""
        return str(self.payload.get("title", ""))

    @property
    def body(self) -> str:
        """Return the text, empty where there is none."""
        return str(self.payload.get("body", ""))

    @property
    def data(self) -> dict[str, Any]:
        """Return the producer's own data."""
        data: dict[str, Any] = self.payload.get("data", {})
        return data


@lru_cache(maxsize=256)
def _shared(kind: str, producer: str) -> bytes:
    """Return the fields that are the same in many payloads."""
    return b"".join(map(msgpack.packb, ("type", kind, "producer", producer)))


def payload_bytes(notification_id: str, kind: str, producer: str, content: bytes) -> int:
    """Return how long the payload of a new notification will be."""
    texts = len(_TEXT[len(notification_id)]) + len(notification_id) + len(_shared(kind, producer))
    # The content's first byte gives way to another.
    return len(_BEGINNINGS[0x80]) + texts + len(content) - 1 + len(_CREATED) + 8


def encode_record(digest: bytes, *fields: Any) -> bytes:
    """Return the record with these fields, in the order in which `Notification` has them."""
    size = _ALWAYS
    if fields[_ALWAYS:] != _USUAL:
        size = len(fields)
        while fields[size - 1] == _USUAL[size - _ALWAYS - 1]:
            size -= 1
    packed: bytes = msgpack.packb(fields[:size])
    return FORMAT + digest + packed


def _fields(raw: bytes) -> Any:
    if len(raw) <= _SMALL:
        return msgpack.unpackb(raw[_HEADER:])
    # A stranger's bytes could make sixty times their size of empty lists.
    unpacker = msgpack.Unpacker(
        max_buffer_size=len(raw), max_array_len=0, max_map_len=0, max_ext_len=0
    )
    unpacker.feed(raw[_HEADER:])
    fields = [unpacker.unpack() for _ in range(unpacker.read_array_header())]
    if unpacker.tell() != len(raw) - _HEADER:
        raise ValueError("more than a list")
    return fields


def _counts(parts: int = 1, routes: int = 1) -> bool:
    """Tell whether a notification can have so many parts and routes."""
    return 0 < parts <= MOST_PARTS and routes >= 0


def decode_notification(notification_id: str, raw: bytes) -> Notification:
    """Read a stored record; raise `Corrupt` on anything that no version of ours wrote."""
    try:
        fields = _fields(raw)
        known = raw[:1] == FORMAT and tuple(map(type, fields)) in _SHAPES and _counts(*fields[6:8])
    except (*_UNREADABLE, TypeError) as error:
        raise Corrupt(f"record: {type(error).__name__}: {error}"[:200]) from error
    if not known:
        raise Corrupt("record: unknown format or fields")
    return Notification(notification_id, *fields)


class RouteGroup(NamedTuple):
    """Routes of a notification that begin with the same state, and why a rule *skipped* them."""

    state: bytes
    routes: Sequence[str]
    skipped: str = ""


class NewNotification(NamedTuple):
    """A notification, or a part of it, ready to be accepted.

    *keep_ms* is how long it is kept where none of its routes waits.
    """

    notification_id: str
    record: bytes
    keep_ms: int
    groups: Sequence[RouteGroup]

    @property
    def routes(self) -> list[str]:
        """Return the ids of all its routes."""
        return [route for group in self.groups for route in group.routes]
