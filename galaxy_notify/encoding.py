"""Encoders: from a notification to the payload of its event.

The payload is packed once, when an intent is accepted, and the default encoder forwards those
bytes unread. Other encoders read it under limits, because any client that can write to Redis can
forge it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol, runtime_checkable

import msgpack

from galaxy_notify.errors import ConfigurationError, Corrupt
from galaxy_notify.model.callables import (
    is_asynchronous,
    is_generator,
    loaded_attribute,
    returned_kind,
    takes,
)
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route

MAX_DEPTH: Final = 64
MAX_BYTES: Final = 16 * 1024 * 1024
_ALWAYS: Final = {"notification_id": str, "type": str, "producer": str, "created_at_ms": int}
_SOMETIMES: Final = {"severity": str, "title": str, "body": str, "data": dict}
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_NO_DATA: Final[dict[str, object]] = {}
_TOO_MANY_FIELDS: Final = b"\x8c"
_LONGEST_ID: Final = 255
_REMEMBERED: Final = 256
_BYTES: Final = (bytes, bytearray, memoryview)
#: Annotated return types that an encoder must not have.
_NOT_BYTES: Final = (str, int, float, dict, list, tuple, type(None))
_UNREADABLE: Final = (ValueError, RecursionError, OverflowError, MemoryError)


@runtime_checkable
class Encoder(Protocol):
    """Returns the ``payload_bytes`` of an event.

    `TransientEncodingError` asks for another attempt. Any other exception, or a result that is
    not bytes, dead-letters the route. It runs on the event loop and must not block or await.
    """

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        """Return the bytes to publish for this route of the notification."""


class MsgpackEncoder:
    """The default encoder: the payload as it was packed at accept, unchanged."""

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        """Return the packed payload."""
        return notification.packed


class JsonEncoder:
    """The payload as compact UTF-8 JSON, with the keys in the order of packing."""

    def __init__(self) -> None:
        # All routes of a notification share its payload and mostly follow each other.
        self._last: tuple[Notification | None, bytes] = (None, b"")

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        """Return the payload as JSON; raise `ValueError` for NaN or infinity."""
        known, encoded = self._last
        if known is not notification:
            text = _usual_json(notification) or _json_text(unpack_payload(notification.packed))
            encoded = text.encode()
            self._last = (notification, encoded)
        return encoded


# `json.dumps` creates an encoder for each call. No check for circles: msgpack holds none.
_json_text: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def _usual_json(notification: Notification) -> str:
    """Return the payload as JSON, written around the content alone.

    Empty if the record is not as usual: it is then read, and refused, as a whole.
    """
    packed, name = notification.content, notification.notification_id
    # As `Notification.packed` demands.
    if not (packed[:1] < _TOO_MANY_FIELDS and name.isascii() and len(name) <= _LONGEST_ID):
        return ""
    try:
        content = msgpack.unpackb(packed, strict_map_key=True, max_ext_len=0, max_bin_len=0)
    except _UNREADABLE:
        return ""
    if not (_is_usual(content) and notification.created_at_ms >= 0):
        return ""
    if not _PLAIN.issuperset(map(type, content.get("data", _NO_DATA).values())):
        _check_depth(content)
    kind, producer = notification.type, notification.producer
    remember = len(kind) + len(producer) <= _REMEMBERED
    shared = (_shared_json if remember else _shared_json.__wrapped__)(kind, producer)
    fields = f"{_json_text(content)[1:-1]}," if content else ""
    return (
        f'{{"notification_id":{_json_text(name)},{shared}{fields}'
        f'"created_at_ms":{notification.created_at_ms}}}'
    )


def _is_usual(content: object) -> bool:
    """Return whether the content is a map with no other fields than those of an intent."""
    if type(content) is not dict:
        return False
    return all([type(value) is _SOMETIMES.get(name) for name, value in content.items()])


@lru_cache(maxsize=256)
def _shared_json(kind: str, producer: str) -> str:
    """Return the fields that many payloads share."""
    return f'"type":{_json_text(kind)},"producer":{_json_text(producer)},'


def payload(notification: Notification) -> dict[str, Any]:
    """Return the event's payload as a mapping; raise `Corrupt` if it is invalid."""
    return unpack_payload(notification.packed)


def unpack_payload(packed: bytes, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the fields of a packed payload; raise `Corrupt` if it is invalid."""
    if len(packed) > max_bytes:
        raise Corrupt(f"payload: {len(packed)} bytes, more than {max_bytes}")
    try:
        fields = msgpack.unpackb(
            packed, raw=False, strict_map_key=True, max_ext_len=0, max_bin_len=0
        )
    except _UNREADABLE as error:
        raise Corrupt(f"payload: {type(error).__name__}: {error}"[:200]) from error
    _check_fields(fields)
    _check_depth(fields)
    return fields  # type: ignore[no-any-return]  # _check_fields has refused all but a dict


def load_encoder(name: str) -> Encoder:
    """Return the encoder that ``gateway.encoder`` names: ``msgpack``, ``json``, ``module:attr``."""
    if name == "msgpack":
        return MsgpackEncoder()
    if name == "json":
        return JsonEncoder()
    return checked_encoder(name, _loaded(name))


def checked_encoder(name: str, loaded: object) -> Encoder:
    """Return a custom encoder, wrapped so that it returns bytes or raises `TypeError`.

    *loaded* is an object with ``encode``, its class, or a function. Raises `ConfigurationError` if
    it cannot be an encoder.
    """
    return _CustomEncoder(_encode_function(name, _instance(name, loaded)))


class _CustomEncoder:
    """Checks that a third-party encoder returns bytes."""

    def __init__(self, encode: Callable[[Notification, Route], object]) -> None:
        self._encode = encode

    def encode(self, notification: Notification, route: Route, /) -> bytes:
        """Return the encoder's bytes; raise `TypeError` if it returns something else."""
        encoded = self._encode(notification, route)
        if type(encoded) is bytes:
            return encoded
        if isinstance(encoded, _BYTES):
            return bytes(encoded)
        if inspect.iscoroutine(encoded):
            encoded.close()
        raise TypeError(f"the encoder returned {type(encoded).__name__}, not bytes")


def _check_fields(fields: object) -> None:
    if type(fields) is not dict:
        raise Corrupt("payload: not a map")
    for name, kind in _ALWAYS.items():
        if type(fields.get(name)) is not kind:
            raise Corrupt(f"payload: {name} is missing or of the wrong type")
    for name, kind in _SOMETIMES.items():
        if name in fields and type(fields[name]) is not kind:
            raise Corrupt(f"payload: {name} is of the wrong type")


def _check_depth(fields: object) -> None:
    """Refuse values nested too deeply, and types that an intent never holds."""
    level: list[object] = [fields]
    for _ in range(MAX_DEPTH + 1):
        inner: list[object] = []
        for value in level:
            if type(value) is dict:
                inner.extend(value.values())
            elif type(value) is list:
                inner.extend(value)
            elif type(value) not in _PLAIN:
                raise Corrupt(f"payload: holds a {type(value).__name__}")
        if not inner:
            return
        level = inner
    raise Corrupt(f"payload: nested deeper than {MAX_DEPTH} levels")


def _loaded(name: str) -> object:
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigurationError(
            f'gateway.encoder: "{name}" is not one of msgpack, json, module:attribute'
        )
    return loaded_attribute("gateway.encoder", name)


def _instance(name: str, loaded: object) -> object:
    if not inspect.isclass(loaded):
        return loaded
    try:
        return loaded()
    except (Exception, SystemExit) as error:  # a constructor may raise anything too
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ConfigurationError(f'gateway.encoder: cannot create "{name}": {reason}') from error


def _encode_function(name: str, loaded: object) -> Callable[[Notification, Route], object]:
    encode = getattr(loaded, "encode", loaded)
    if not callable(encode):
        raise ConfigurationError(
            f'gateway.encoder: "{name}" is not a function and has no method encode'
        )
    if is_asynchronous(encode):
        raise ConfigurationError(f'gateway.encoder: "{name}" is asynchronous')
    if is_generator(encode):
        raise ConfigurationError(f'gateway.encoder: "{name}" is a generator: return bytes')
    returned = returned_kind(encode)
    if returned is not None and issubclass(returned, _NOT_BYTES):
        kind = returned.__name__
        raise ConfigurationError(f'gateway.encoder: "{name}" returns {kind}: return bytes')
    if not takes(encode, 2):
        raise ConfigurationError(f'gateway.encoder: "{name}" does not take (notification, route)')
    return encode
