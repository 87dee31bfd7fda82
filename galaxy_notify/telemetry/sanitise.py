"""Make any value fit to be logged: short, without secrets, payloads or control characters."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Mapping
from datetime import date
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final
from uuid import UUID

from structlog.typing import EventDict, ExcInfo

ID_KEPT: Final = 128
ERROR_KEPT: Final = 200
TEXT_KEPT: Final = 500
_NAME_KEPT: Final = 64
_SCANNED: Final = 4096
_ITEMS_KEPT: Final = 50
_DEPTH_KEPT: Final = 4
_FRAMES_KEPT: Final = 12
_CAUSES_KEPT: Final = 3
_INT_BITS: Final = 64
_CUT: Final = "..."
_MASK: Final = "***"

_LEADING: Final = ("timestamp", "level", "event")
_SECRET_NAME: Final = re.compile(
    r"passw|secret|token|credential|authorization|api_?key", re.IGNORECASE
)
_PAYLOAD_NAMES: Final = frozenset(
    {"payload", "payload_bytes", "packed", "record", "data", "title", "body"}
)
_ID_NAME: Final = re.compile(r"(^|_)(id|ids|key|member|recipient|route|user|channel|worker)$")
_ERROR_NAME: Final = re.compile(r"error|message|reason|detail|exception")
_URL_PASSWORD: Final = re.compile(r"(://[^\s:/@]{0,256}:)\S{0,512}@")
_QUERY_PASSWORD: Final = re.compile(r"((?:password|passwd|secret|token)=)[^\s&]+", re.IGNORECASE)


def event(_logger: object, _method: str, values: EventDict) -> EventDict:
    """Return the event with every name and value fit to be logged, a processor of structlog."""
    ordered = {name: values[name] for name in _LEADING if name in values}
    ordered.update(values)
    return {name: _field(name, value, _DEPTH_KEPT) for name, value in _names(ordered)}


def text(value: str, kept: int = TEXT_KEPT) -> str:
    """Return *value* at most *kept* long, passwords in URLs masked, lone surrogates escaped."""
    value = value[:_SCANNED]
    if "://" in value:
        value = _URL_PASSWORD.sub(rf"\1{_MASK}@", value)
    if "=" in value:
        value = _QUERY_PASSWORD.sub(rf"\1{_MASK}", value)
    if not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()
    return value if len(value) <= kept else value[: kept - len(_CUT)] + _CUT


def error_text(error: BaseException) -> str:
    """Return the message of an error, even if its ``__str__`` fails."""
    try:
        return text(str(error), ERROR_KEPT)
    except Exception:  # an exception of other code may fail to describe itself
        return "(no description)"


def exception(exc_info: ExcInfo) -> dict[str, Any]:
    """Return an error as fields: type, message, the innermost frames and what caused it."""
    _, error, trace = exc_info
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error_text(error),
        "frames": frames(trace),
    }
    causes: list[str] = []
    cause = _cause(error)
    while cause is not None and len(causes) < _CAUSES_KEPT:
        causes.append(f"{type(cause).__name__}: {error_text(cause)}"[:ERROR_KEPT])
        cause = _cause(cause)
    if causes:
        described["caused_by"] = causes
    return described


def frames(trace: TracebackType | None) -> list[str]:
    """Return the innermost frames, outermost first; source lines may hold data and stay out."""
    summary = traceback.StackSummary.extract(
        traceback.walk_tb(trace), limit=-_FRAMES_KEPT, lookup_lines=False
    )
    return [
        text(f"{'/'.join(PurePath(one.filename).parts[-2:])}:{one.lineno} {one.name}")
        for one in summary
    ]


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _names(values: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    pairs = list(values.items())[:_ITEMS_KEPT]
    return [(text(n if isinstance(n, str) else _plain(n), _NAME_KEPT), v) for n, v in pairs]


def _field(name: str, value: Any, depth: int) -> Any:
    if name in _PAYLOAD_NAMES:
        return f"({len(value)} long)" if isinstance(value, str | bytes | dict) else "(hidden)"
    kept = _kept(name)
    if not kept and value:
        return _MASK
    return _value(value, kept, depth)


# The names of fields are few and come again in every line.
@lru_cache(maxsize=1024)
def _kept(name: str) -> int:
    """Return how much is kept of a value of this name: 0 of a secret."""
    if _SECRET_NAME.search(name):
        return 0
    if _ID_NAME.search(name):
        return ID_KEPT
    return ERROR_KEPT if _ERROR_NAME.search(name) else TEXT_KEPT


def _value(value: Any, kept: int, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _value(value.value, kept, depth)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return text(value, kept)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _container(value, kept, depth - 1)
    return text(_plain(value), kept)


def _number(value: int | float) -> int | float | str:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    bits = value.bit_length()
    return int(value) if bits <= _INT_BITS else f"(integer of {bits} bits)"


def _container(value: Any, kept: int, depth: int) -> Any:
    if depth <= 0:
        return f"({type(value).__name__})"
    if isinstance(value, Mapping):
        return {name: _field(name, one, depth) for name, one in _names(value)}
    return [_value(one, kept, depth) for one in list(value)[:_ITEMS_KEPT]]


def _plain(value: object) -> str:
    """Describe other kinds of values: an unknown object by its type only, it may hold data."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value[:_SCANNED]).decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {error_text(value)}"
    if isinstance(value, PurePath | UUID | date | int | float):
        return str(_number(value)) if isinstance(value, int | float) else str(value)
    return f"({type(value).__name__})"
