"""The last processors of the log chain: JSON for machines, plain text for a terminal.

Both renderers are structlog's own. They get what `sanitise.event` made of an event, and keep what
the documentation promises: a JSON line is ASCII and fits into one write to a pipe; what a
terminal shows cannot move its cursor.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from structlog.dev import Column, ConsoleRenderer
from structlog.processors import JSONRenderer
from structlog.typing import EventDict, Processor

from galaxy_notify.telemetry.lines import MAX_LINE

_ROOM: Final = MAX_LINE - 200
_SHORT: Final = 120
_COLOURS: Final = {"warning": "33", "error": "31", "critical": "31;1", "debug": "2"}
# Control, format, separator and surrogate characters: those that a terminal may act upon.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb]"
)
_BARE: Final = re.compile(r"[^\s=\"']+")
# ASCII alone leaves no control, separator or direction character unescaped.
_dumps: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def json_line(event: EventDict, **_: Any) -> str:
    """Return the event as one JSON object in ASCII, shortened where it is over the line size."""
    line = _dumps(event)
    return line if len(line) < MAX_LINE else _dumps(_shortened(event))


def renderers(console: bool, *, colour: bool) -> list[Processor]:
    """Return the processors that make a line: JSON, or text with colours or without."""
    if not console:
        return [JSONRenderer(json_line)]
    columns = [
        Column("timestamp", lambda key, value: str(value)[11:23]),
        Column("level", lambda key, value: _level(str(value), colour)),
        Column("event", lambda key, value: _safe(str(value))),
        Column("", lambda key, value: f"{_safe(key)}={_shown(value)}"),
    ]
    return [_multiline_as_text, ConsoleRenderer(columns=columns, sort_keys=False)]


def _multiline_as_text(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Make text of the two fields that `ConsoleRenderer` puts on lines of their own."""
    for name in ("exception", "stack"):
        if name in event:
            event[name] = "\n".join(f"  {_safe(line)}" for line in _lines(event[name]))
    return event


def _lines(value: Any) -> list[str]:
    if not isinstance(value, dict) or "frames" not in value:
        return [_shown(value)]
    causes = [f"caused by {cause}" for cause in value.get("caused_by", ())]
    return [*value["frames"], f"{value['type']}: {value['message']}", *causes]


def _level(name: str, coloured: bool) -> str:
    shown = f"{name:8}"
    return f"\x1b[{_COLOURS[name]}m{shown}\x1b[0m" if coloured and name in _COLOURS else shown


def _shortened(event: EventDict) -> dict[str, Any]:
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
