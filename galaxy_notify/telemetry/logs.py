"""Structured logs: one line per event on standard error, JSON unless a person is watching."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

from galaxy_notify.telemetry import rendering, sanitise
from galaxy_notify.telemetry.lines import LineWriter
from galaxy_notify.telemetry.tracing import current_ids

Level = Literal["debug", "info", "warning", "error", "critical"]
Format = Literal["auto", "json", "console"]
Event = MutableMapping[str, Any]

REPEAT_S: Final = 60.0
_REMEMBERED: Final = 500


def configure_logs(
    level: Level = "info", format: Format = "auto", stream: TextIO | None = None
) -> None:
    """Send all logs of the process, also those of libraries, to *stream* or standard error."""
    stream = stream or sys.stderr
    terminal = _is_terminal(stream)
    sink = Sink(LineWriter(stream), console=terminal if format == "auto" else format == "console")
    sink.colour = terminal and "NO_COLOR" not in os.environ
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _add_trace],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    _capture_libraries(sink, max(number, logging.WARNING))


def get_logger(component: str, **bound: Any) -> FilteringBoundLogger:
    """Return the logger of a component; it follows a reload, one made of it by `bind` does not.

    In a program that has not set structlog up, lines go to the standard logger
    ``galaxy_notify``, which shows warnings only and never writes to standard output.
    """
    if structlog.is_configured():
        return cast(FilteringBoundLogger, structlog.get_logger(component=component, **bound))
    logger: FilteringBoundLogger = structlog.wrap_logger(
        logging.getLogger("galaxy_notify"),
        processors=[structlog.processors.KeyValueRenderer(key_order=["event", "component"])],
        wrapper_class=structlog.stdlib.BoundLogger,
        component=component,
        **bound,
    )
    return logger


class Sink:
    """Turns events into lines and writes them; nothing that happens here reaches the caller."""

    def __init__(self, writer: LineWriter, *, console: bool) -> None:
        self._writer = writer
        self._console = console
        self.colour = False
        self._told_dropped = 0

    def emit(self, level: str, event: Event) -> None:
        """Write one event, and before it how many were dropped while nobody read them."""
        dropped = self._writer.dropped
        written = self._writer.write(self._line(level, event))
        if written and dropped > self._told_dropped:
            count, self._told_dropped = dropped - self._told_dropped, dropped
            self.emit("warning", {"event": "log lines dropped", "count": count})

    def debug(self, /, **event: Any) -> None:
        """Write an event for those who look for a fault."""
        self.emit("debug", event)

    def info(self, /, **event: Any) -> None:
        """Write an event of normal work."""
        self.emit("info", event)

    def warning(self, /, **event: Any) -> None:
        """Write an event that somebody may want to look at."""
        self.emit("warning", event)

    def error(self, /, **event: Any) -> None:
        """Write an event that somebody has to look at."""
        self.emit("error", event)

    def critical(self, /, **event: Any) -> None:
        """Write an event after which the process cannot go on."""
        self.emit("critical", event)

    def _line(self, level: str, event: Event) -> str:
        try:
            ready = _ready(level, event)
            if self._console:
                return rendering.console_line(ready, colour=self.colour)
            return rendering.json_line(ready)
        except Exception:  # a hostile value must not stop the work that it was logged about
            about = event.get("event")
            about = sanitise.text(about) if type(about) is str else ""
            line = {**_head(level), "event": "log line unprintable", "about": about}
            return rendering.json_line(line)


class LibraryHandler(logging.Handler):
    """Writes what libraries log through the standard module in our own form."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink
        self.addFilter(RepeatFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a record with wrong arguments is written as it was meant."""
        try:
            message = record.getMessage()
        except Exception:  # a library's format string may not fit its arguments
            message = str(record.msg)
        event: Event = {"event": sanitise.text(message, sanitise.ERROR_KEPT)}
        event["component"] = record.name
        if record.exc_info:
            event["exc_info"] = record.exc_info
        self._sink.emit(record.levelname.lower(), event)


class RepeatFilter(logging.Filter):
    """Lets the same complaint of a library pass once a minute: a dead collector is one line."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is new, or its last sight a minute ago."""
        now = time.monotonic()
        complaint = (record.name, str(record.msg)[:200])
        last = self._seen.get(complaint)
        if last is not None and now - last < REPEAT_S:
            return False
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[complaint] = now
        return True


def _head(level: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"timestamp": now.replace("+00:00", "Z"), "level": level}


def _ready(level: str, event: Event) -> dict[str, Any]:
    values = dict(event)
    name = values.pop("event", "")
    error = _error(values.pop("exc_info", None))
    ready = {**_head(level), "event": sanitise.text(str(name))}
    ready.update((k, v) for k, v in sanitise.fields(values).items() if k not in ready)
    if error is not None:
        ready["exception"] = sanitise.exception(error)
    return ready


def _error(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1] if exc_info else None


def _add_trace(_logger: Any, _method: str, event: Event) -> Event:
    ids = current_ids()
    if ids:
        event.setdefault("trace_id", ids.trace_id)
        event.setdefault("span_id", ids.span_id)
    return event


def _capture_libraries(sink: Sink, level: int) -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(LibraryHandler(sink))
    root.setLevel(level)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed already
        return False
