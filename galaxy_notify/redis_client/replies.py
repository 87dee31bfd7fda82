"""Replies of Redis as text, numbers, moments and maps; what is no such thing is marked or 0."""

from __future__ import annotations

from typing import Any, Final

_FAR_MS: Final = 10**15
_COUNTED: Final = 1 << 63


def moment(score: float) -> int:
    """Return a score as epoch ms; one beyond every date, such as infinity, as a very far one."""
    return int(max(-_FAR_MS, min(score, _FAR_MS)))


def text(raw: Any) -> str:
    """Return what Redis holds as text; bytes that are not UTF-8 are marked."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)


def number(raw: Any) -> int:
    """Return a stored number, or 0 where it is absent, none, or could not be read."""
    try:
        found = int(raw or 0)
    except (ValueError, TypeError):
        return 0
    # Redis counts in 64 bits: what has more was not counted.
    return found if -_COUNTED <= found < _COUNTED else 0


def pairs(reply: Any) -> dict[bytes, bytes]:
    """Return a map, however the server and the client hand it over."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
