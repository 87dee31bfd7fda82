"""Structured logs: one line per event on standard error, JSON unless a person is watching.

An ordinary chain of structlog above a writer that never waits. A program may put processors of its
own before it::

    structlog.configure(processors=[own, *structlog.get_config()["processors"]])
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from galaxy_notify.telemetry import rendering, sanitise
from galaxy_notify.telemetry.lines import LineWriter
from galaxy_notify.telemetry.tracing import current_ids

Level = Literal["debug", "info", "warning", "error", "critical"]
Format = Literal["auto", "json", "console"]

REPEAT_S: Final = 60.0
_REMEMBERED: Final = 500
#: Threads of the library Apprise, and those that run it: a URL that holds a secret may be logged.
_SECRETIVE: Final = "apprise-"


def configure_logs(
    level: Level = "info", format: Format = "auto", stream: TextIO | None = None
) -> None:
    """Send all logs of the process, also those of libraries, to *stream* or standard error.

    Called again, as at a reload, it keeps the processors that the program has put before its own.
    """
    stream = stream or sys.stderr
    terminal = _is_terminal(stream)
    writer = LineWriter(stream)
    number = logging.getLevelNamesMapping()[level.upper()]
    filtering = structlog.make_filtering_bound_logger(number)
    structlog.configure(
        processors=_processors(terminal if format == "auto" else format == "console", terminal),
        wrapper_class=type("Logger", (_Unfailing, filtering), {}),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    _capture_libraries(max(number, logging.WARNING))


def add_to_lines(**fields: Any) -> None:
    """Add *fields* to every line of this process from now on."""

    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {**fields, **event}

    structlog.configure(processors=[add, *structlog.get_config()["processors"]])


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


class _Unfailing(structlog.BoundLoggerBase):
    """A logger that never raises: no value and no processor stops the work that is logged."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, **fields: Any) -> Any:
        try:
            return super()._proxy_to_logger(method_name, event, **fields)
        except Exception:  # a hostile value, or a processor of the program's own
            about = sanitise.text(event) if type(event) is str else ""
            head = {"timestamp": _now(), "level": method_name}
            line = {**head, "event": "log line unprintable", "about": about}
            return getattr(self._logger, method_name)(rendering.json_line(line))


class LibraryHandler(logging.Handler):
    """Writes what libraries log through the standard module in our own form."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(_is_public)
        self.addFilter(RepeatFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a record with wrong arguments is written as it was meant."""
        try:
            message = record.getMessage()
        except Exception:  # a library's format string may not fit its arguments
            message = str(record.msg)
        structlog.get_logger(component=record.name).log(
            # Levels of a library's own count as the one below them.
            min(record.levelno // 10 * 10, logging.CRITICAL),
            sanitise.text(message, sanitise.ERROR_KEPT),
            exc_info=record.exc_info,
        )


def _is_public(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(_SECRETIVE)


class RepeatFilter(logging.Filter):
    """Lets the same complaint of a library pass once a minute: a dead collector is one line."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is new, or its last sight a minute ago."""
        now = time.monotonic()
        complaint = (record.name, str(record.msg)[:200])
        last = self._seen.get(complaint)
        if last is not None and now - last < REPEAT_S:
            return False
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[complaint] = now
        return True


def _processors(console: bool, terminal: bool) -> Sequence[Processor]:
    colour = terminal and "NO_COLOR" not in os.environ
    current: list[Processor] = structlog.get_config()["processors"]
    own = current[: current.index(_add_time)] if _add_time in current else []
    return [
        *own,
        _add_time,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_trace,
        structlog.processors.ExceptionRenderer(sanitise.exception),
        sanitise.event,
        *rendering.renderers(console, colour=colour),
    ]


def _add_time(_logger: object, _method: str, event: EventDict) -> EventDict:
    # `TimeStamper` writes microseconds, and none at all in the first of each second.
    event["timestamp"] = _now()
    return event


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _add_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    ids = current_ids()
    if ids:
        event.setdefault("trace_id", ids.trace_id)
        event.setdefault("span_id", ids.span_id)
    return event


def _capture_libraries(level: int) -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(LibraryHandler())
    root.setLevel(level)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed already
        return False
