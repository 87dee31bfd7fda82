"""The record of a notification, and its form in Redis.

A stored record is ``1``, eight bytes of a digest of the request, and a msgpack list. The content
is packed once, when the intent is accepted, and forwarded without decoding. Nothing is stored
twice: the id is in the key, and the fields that the record and the payload share are added to the
payload when it is published.
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
# Fields at the end of a record are omitted if they have these values: due time, expiry, parts,
# routes, idempotency key, request id, trace id, traceparent.
_USUAL: Final = (None, None, 1, 1, "", "", "", "")
_ALWAYS: Final = 4
_PARTS_AT: Final = 6
_COUNTS_END: Final = 8
# The types of the fields of a record; due time and expiry may be None.
_SHAPES: Final = frozenset(
    (int, str, str, bytes, due, expires, int, int, str, str, str, str)[:size]
    for due in (int, type(None))
    for expires in (int, type(None))
    for size in range(_ALWAYS, _ALWAYS + len(_USUAL) + 1)
)
# First byte of the map of the content → first bytes of the payload, which has four more fields.
_BEGINNINGS: Final = {
    0x80 + fields: bytes([0x84 + fields]) + msgpack.packb("notification_id") for fields in range(12)
}
# The msgpack header of a text of each length, and the end of a payload before its eight bytes of
# time.
_TEXT: Final = tuple(msgpack.packb("x" * size)[: -size or None] for size in range(256))
_CREATED: Final = msgpack.packb("created_at_ms") + b"\xcf"


@dataclass(slots=True)
class Notification:
    """An accepted intent, or one part of it: shared by all its routes, so do not change it.

    ``content`` is a packed map of ``severity``, ``title``, ``body`` and ``data``, which are read
    from it on demand. Times are epoch ms. ``parts`` counts those of the whole notification,
    ``routes`` those of this part.
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
        """The payload of the event, as the ``msgpack`` encoder forwards it.

        Raises `Corrupt` if the record is invalid.
        """
        if self._packed is None:
            try:
                self._packed = self._pack()
            except (LookupError, OverflowError) as error:
                raise Corrupt(f"content: {type(error).__name__}: {error}"[:200]) from error
        return self._packed

    def _pack(self) -> bytes:
        encoded_id, content = self.notification_id.encode(), self.content
        return b"".join(
            (
                _BEGINNINGS[content[0]],
                _TEXT[len(encoded_id)],
                encoded_id,
                self._shared(),
                content[1:],
                _CREATED,
                self.created_at_ms.to_bytes(8, "big"),
            )
        )

    def _shared(self) -> bytes:
        # The texts of a forged record may have any length.
        remember = len(self.type) + len(self.producer) <= _REMEMBERED
        return (_shared if remember else _shared.__wrapped__)(self.type, self.producer)

    @property
    def due_at_ms(self) -> int:
        """The first due time, in epoch ms."""
        return self.asked_due_ms or self.created_at_ms

    @property
    def payload(self) -> dict[str, Any]:
        """The payload of the event as a mapping; raises `Corrupt` if it is invalid."""
        if self._payload is None:
            try:
                payload = msgpack.unpackb(self.packed)
            except (ValueError, RecursionError) as error:
                raise Corrupt(f"payload: {type(error).__name__}: {error}"[:200]) from error
            if not isinstance(payload, dict):
                raise Corrupt("payload: not a map")
            self._payload = payload
        return self._payload

    @property
    def severity(self) -> str:
        """The severity, ``info`` by default."""
        return str(self.payload.get("severity", "info"))

    @property
    def title(self) -> str:
        """The title, empty by default."""
        return str(self.payload.get("title", ""))

    @property
    def body(self) -> str:
        """The text, empty by default."""
        return str(self.payload.get("body", ""))

    @property
    def data(self) -> dict[str, Any]:
        """The producer's own data."""
        data: dict[str, Any] = self.payload.get("data", {})
        return data


@lru_cache(maxsize=256)
def _shared(kind: str, producer: str) -> bytes:
    """Return the packed fields that many payloads share."""
    return b"".join(map(msgpack.packb, ("type", kind, "producer", producer)))


def payload_bytes(notification_id: str, kind: str, producer: str, content: bytes) -> int:
    """Return the length in bytes of the payload of a new notification."""
    texts = len(_TEXT[len(notification_id)]) + len(notification_id) + len(_shared(kind, producer))
    # The first byte of the content is replaced.
    return len(_BEGINNINGS[0x80]) + texts + len(content) - 1 + len(_CREATED) + 8


def encode_record(digest: bytes, *fields: Any) -> bytes:
    """Return the record with these fields, in the order of `Notification`."""
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
    # Forged bytes could unpack to empty lists of sixty times their size.
    unpacker = msgpack.Unpacker(
        max_buffer_size=len(raw), max_array_len=0, max_map_len=0, max_ext_len=0
    )
    unpacker.feed(raw[_HEADER:])
    fields = [unpacker.unpack() for _ in range(unpacker.read_array_header())]
    if unpacker.tell() != len(raw) - _HEADER:
        raise ValueError("more than a list")
    return fields


def _counts(parts: int = 1, routes: int = 1) -> bool:
    """Return whether these numbers of parts and routes are valid."""
    return 0 < parts <= MOST_PARTS and routes >= 0


def decode_notification(notification_id: str, raw: bytes) -> Notification:
    """Return the notification of a stored record; raise `Corrupt` if it is invalid."""
    try:
        fields = _fields(raw)
        known = raw[:1] == FORMAT and tuple(map(type, fields)) in _SHAPES
        known = known and (len(fields) <= _PARTS_AT or _counts(*fields[_PARTS_AT:_COUNTS_END]))
    except (*_UNREADABLE, TypeError) as error:
        raise Corrupt(f"record: {type(error).__name__}: {error}"[:200]) from error
    if not known:
        raise Corrupt("record: unknown format or fields")
    return Notification(notification_id, *fields)


def readable_record(notification_id: str, raw: bytes | None) -> Notification | None:
    """Return the notification of a stored record; None if it is absent or corrupt."""
    try:
        return decode_notification(notification_id, raw or b"")
    except Corrupt:
        return None


def newer_record(raw: bytes) -> bool:
    """Return whether a later version than this one wrote a record."""
    return raw[:1].isdigit() and raw[:1] > FORMAT


class RouteGroup(NamedTuple):
    """Routes of a notification with the same initial state; *skipped* is the reason of a rule."""

    state: bytes
    routes: Sequence[str]
    skipped: str = ""


class NewNotification(NamedTuple):
    """A notification, or a part of it, ready to be accepted.

    *keep_ms* is how long it is kept once none of its routes waits.
    """

    notification_id: str
    record: bytes
    keep_ms: int
    groups: Sequence[RouteGroup]

    @property
    def routes(self) -> list[str]:
        """The ids of all its routes."""
        return [route for group in self.groups for route in group.routes]
