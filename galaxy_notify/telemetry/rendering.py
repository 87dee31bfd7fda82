"""One event, one line: JSON for machines, plain text for a terminal."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from galaxy_notify.telemetry.lines import MAX_LINE

_ROOM: Final = MAX_LINE - 200
_SHORT: Final = 120
_LEADING: Final = ("timestamp", "level", "event")
_COLOURS: Final = {"warning": "33", "error": "31", "critical": "31;1", "debug": "2"}
# Control, format, separator and surrogate characters: those that a terminal may act upon.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb]"
)
_BARE: Final = re.compile(r"[^\s=\"']+")


def json_line(event: dict[str, Any]) -> str:
    """Return the event as one JSON object in ASCII, shortened where it is over the line size."""
    line = _dumps(event)
    return line if len(line) < MAX_LINE else _dumps(_shortened(event))


def console_line(event: dict[str, Any], *, colour: bool) -> str:
    """Return the event for a reader's eyes, control characters escaped."""
    level = str(event.get("level", ""))
    clock = str(event.get("timestamp", ""))[11:23]
    shown = f"{level:8}"
    if colour and level in _COLOURS:
        shown = f"\x1b[{_COLOURS[level]}m{shown}\x1b[0m"
    rest = (f"{_safe(k)}={_shown(v)}" for k, v in event.items() if k not in _LEADING)
    return " ".join([clock, shown, _safe(str(event.get("event", ""))), *rest])


def _dumps(value: Any) -> str:
    # ASCII alone leaves no control, separator or direction character unescaped.
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _shortened(event: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    room = _ROOM
    for name, value in event.items():
        if isinstance(value, dict | list):
            value = _dumps(value)
        if isinstance(value, str):
            value = value[:_SHORT]
        size = len(_dumps({name: value}))
        if size <= room:
            room -= size
            kept[name] = value
    return {**kept, "shortened": True}


def _shown(value: Any) -> str:
    if not isinstance(value, str):
        return _safe(json.dumps(value, ensure_ascii=False))
    safe = _safe(value)
    return safe if _BARE.fullmatch(safe) else '"' + safe.replace('"', '\\"') + '"'


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)
