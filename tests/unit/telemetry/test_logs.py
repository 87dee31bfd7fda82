"""Log lines: always whole, always harmless, and never in the way."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs
from structlog.typing import EventDict

from galaxy_notify.telemetry.lines import LineWriter
from galaxy_notify.telemetry.logs import LibraryHandler, configure_logs, get_logger
from tests.support.telemetry import Lines, json_logs


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and return a function that reads them all."""
    with json_logs() as read:
        yield read


def test_line__has_the_fixed_fields(lines: Lines) -> None:
    """A line tells when (UTC, ms), how grave, what, who, and the bound context."""
    structlog.contextvars.bind_contextvars(worker="w-1")
    get_logger("worker", shard=3).warning("route dead-lettered", channel="push")
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "warning",
        "event": "route dead-lettered",
        "component": "worker",
        "shard": 3,
        "worker": "w-1",
        "channel": "push",
    }


def test_libraries__write_nothing_in_threads_that_hold_secrets(lines: Lines) -> None:
    """What is logged where Apprise runs may hold a URL; elsewhere the same logger is heard."""

    def complain() -> None:
        logging.getLogger("urllib3.connectionpool").warning("cannot parse https://secret@host")

    for name in ("apprise-send", "apprise-http-resolve", "MainThread-2"):
        thread = threading.Thread(target=complain, name=name)
        thread.start()
        thread.join()
    assert [line["component"] for line in lines()] == ["urllib3.connectionpool"]


def test_line__own_fields_cannot_be_forged(lines: Lines) -> None:
    """A field named like one of ours changes nothing."""
    get_logger("test").info("something happened", level="debug", timestamp="never")
    (line,) = lines()
    assert line["level"] == "info"
    assert line["timestamp"] != "never"


def test_level__filters(capfd: Any) -> None:
    """Events below the level are not written."""
    configure_logs("warning", "json")
    logger = get_logger("test")
    logger.debug("one")
    logger.info("two")
    logger.warning("three")
    assert capfd.readouterr().err.count("\n") == 1


def test_libraries__are_logged_in_our_form(lines: Lines) -> None:
    """What libraries log is JSON as well; debug chatter and repetitions stay out."""
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if isinstance(one, LibraryHandler)]
    library = logging.getLogger("some.package")
    for attempt in range(5):
        library.warning("cannot export, attempt %d", attempt)
    library.info("chatter")
    library.error("wrong %d arguments", "text")
    told = [(line["event"], line["component"], line["level"]) for line in lines()]
    assert told == [
        ("cannot export, attempt 0", "some.package", "warning"),
        ("wrong %d arguments", "some.package", "error"),
    ]


def test_trace__ids_of_the_current_span_are_added(lines: Lines) -> None:
    """Inside a span a line carries its ids; outside it has none."""
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
        get_logger("test").info("inside")
    get_logger("test").info("outside")
    inside, outside = lines()
    assert inside["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert inside["span_id"] == f"{span.get_span_context().span_id:016x}"
    assert "trace_id" not in outside


def test_capture__works_for_tests(lines: Lines) -> None:
    """structlog's own capture sees our events, for tests that assert on logs."""
    with capture_logs() as captured:
        get_logger("test").info("something happened", shard=1)
    assert captured == [
        {"event": "something happened", "shard": 1, "component": "test", "log_level": "info"}
    ]
    assert lines() == []


def test_processor__of_the_program_stands_before_ours(lines: Lines) -> None:
    """The chain is structlog's: what a program puts before it sees, and changes, every event."""

    def own(_logger: object, _method: str, event: EventDict) -> EventDict:
        if event["event"] == "of no interest":
            raise structlog.DropEvent
        return {**event, "host": "h1"}

    structlog.configure(processors=[own, *structlog.get_config()["processors"]])
    get_logger("test").info("of no interest")
    get_logger("test").info("something happened", shard=1)
    logging.getLogger("some.package").warning("cannot export")
    assert [(line["event"], line["host"]) for line in lines()] == [
        ("something happened", "h1"),
        ("cannot export", "h1"),
    ]


def test_processor__of_the_program_stays_at_a_reload(capfd: Any) -> None:
    """Configured again, the chain still begins with what the program put there."""

    def own(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {**event, "host": "h1"}

    structlog.configure(processors=[own, *structlog.get_config()["processors"]])
    configure_logs("info", "json")
    get_logger("test").info("something happened")
    assert json.loads(capfd.readouterr().err)["host"] == "h1"


def test_processor__that_fails_does_not_stop_the_work(lines: Lines) -> None:
    """A processor that raises costs the line its fields; its caller goes on."""

    def broken(_logger: object, _method: str, event: EventDict) -> EventDict:
        raise KeyError(event["event"])

    structlog.configure(processors=[broken, *structlog.get_config()["processors"]])
    get_logger("test").error("something happened")
    (line,) = lines()
    assert (line["event"], line["level"]) == ("log line unprintable", "error")
    assert line["about"] == "something happened"


def test_pipe__stuck_reader_drops_lines_and_is_told_after() -> None:
    """A reader that stops reading costs lines, not the process; the loss is counted in the log."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb", buffering=0) as reader, os.fdopen(write_end, "w") as stream:
        configure_logs("info", "json", stream)
        logger = get_logger("test")
        for _ in range(400):
            logger.info("something happened", filler="x" * 400)
        reader.read(1 << 20)
        logger.info("reader is back")
        back, dropped = reader.read(1 << 20).splitlines()
    assert json.loads(back)["event"] == "reader is back"
    assert json.loads(dropped)["event"] == "log lines dropped"
    assert json.loads(dropped)["count"] > 100


def test_pipe__closed_reader_is_survived() -> None:
    """A closed pipe, a closed stream or no stream at all never raises."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        writer = LineWriter(stream)
        assert not writer.write("nobody reads this")
    assert not writer.write("closed")
    assert not LineWriter(None).write("no stream")
    assert writer.dropped == 2


def test_format__auto_is_json_unless_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gets JSON; a terminal gets text, coloured unless NO_COLOR says otherwise."""

    class Terminal(io.StringIO):
        """A stream that says it is a terminal."""

        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    file, terminal, plain = io.StringIO(), Terminal(), Terminal()
    for stream in (file, terminal):
        configure_logs("info", "auto", stream)
        get_logger("test").warning("something happened", text="a b", n=1)
    monkeypatch.setenv("NO_COLOR", "1")
    configure_logs("info", "auto", plain)
    get_logger("test").warning("something happened")
    assert json.loads(file.getvalue())["text"] == "a b"
    assert 'something happened component=test text="a b" n=1' in terminal.getvalue()
    assert "\x1b[33m" in terminal.getvalue()
    assert "\x1b" not in plain.getvalue()
