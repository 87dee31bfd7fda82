"""Export follows the environment, and a dead collector hurts nobody."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.export import start_telemetry, wished
from galaxy_notify.telemetry.recorder import Recorder
from tests.support.telemetry import everything
from tests.support.wait import HANG_S

DOCS = Path(__file__).parents[3] / "docs" / "telemetry.md"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "x"}, []),
        ({ENDPOINT: "http://c:4318"}, [("METRICS", "otlp"), ("TRACES", "otlp")]),
        ({ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "TRUE"}, []),
        ({ENDPOINT: "http://c", "OTEL_METRICS_EXPORTER": "none"}, [("TRACES", "otlp")]),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, [("METRICS", "otlp")]),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, [("TRACES", "otlp"), ("TRACES", "console")]),
        ({"OTEL_TRACES_EXPORTER": " Console "}, [("TRACES", "console")]),
    ],
)
def test_export__follows_the_environment(
    environ: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    """Exporters are chosen by the standard variables alone."""
    assert [(wish.signal, wish.exporter) for wish in wished(environ)] == expected


def test_export__protocol_and_timeout_follow_the_environment() -> None:
    """A signal's own variable wins; without a timeout ours is short, with one it is the SDK's."""
    environ = {
        ENDPOINT: "http://c",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "7",
    }
    metrics, traces = wished(environ)
    assert (metrics.protocol, metrics.timeout_s) == ("grpc", None)
    assert (traces.protocol, traces.timeout_s) == ("http/protobuf", 3)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_METRICS_EXPORTER": "prometheus"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "0"},
        {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRICS_EXEMPLAR_FILTER": "sometimes"},
    ],
)
def test_export__an_impossible_wish_is_logged_and_dropped(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exporter that cannot be made is one warning, and telemetry is off."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as captured:
        telemetry = start_telemetry({})
    assert type(telemetry) is Telemetry
    assert len(captured) == 1
    assert captured[0]["event"] in ("telemetry exporter unusable", "telemetry unusable")
    assert captured[0]["reason"]


def test_export__a_missing_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for gRPC without its package, the log names what is not installed."""
    missing = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with capture_logs() as captured:
        assert type(start_telemetry({})) is Telemetry
    (line,) = captured
    assert line["reason"].startswith("not installed: ")
    assert line["protocol"] == "grpc"


@pytest.fixture
def refused_port() -> Iterator[int]:
    """Give a port on which nobody listens, nor can."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@pytest.fixture
def mute_port() -> Iterator[int]:
    """Give a port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@pytest.fixture(params=["refused_port", "mute_port"])
def dead_collector(request: pytest.FixtureRequest) -> str:
    """Give the endpoint of a collector that is dead, in either way."""
    return f"http://127.0.0.1:{request.getfixturevalue(request.param)}"


WORK = """
from galaxy_notify.telemetry.export import start_telemetry
telemetry = start_telemetry({"service.instance.id": "w-1"})
for _ in range(3000):
    with telemetry.publish_span("s", 1, []):
        telemetry.batch_settled("push", {("turn", "published", ""): 1}, [0.1])
"""
LEAVE = "import os, sys; sys.stdout.flush(); os._exit(0)"
END = """
print(telemetry.shutdown())
"""


def test_collector__dead_holds_up_no_work(mute_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work goes on beside an export that takes an hour: nothing waits for it."""
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{mute_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    _run(WORK + LEAVE, monkeypatch)


def test_collector__dead_does_not_keep_the_process(
    dead_collector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a dead collector the process ends none the less."""
    monkeypatch.setenv(ENDPOINT, dead_collector)
    _run(WORK + "telemetry.shutdown()", monkeypatch)


def test_collector__mute_does_not_delay_the_end_by_its_timeout(
    mute_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shutdown reports that it gave up on an export that would take an hour."""
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{mute_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    assert _run(WORK + END + LEAVE, monkeypatch) == "False\n"


def _run(script: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_S,
        cwd=DOCS.parents[1],
    )
    return done.stdout


def test_collector__alive_gets_metrics_and_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """A living collector is posted to at shutdown, with the process's attributes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        listener.settimeout(HANG_S)
        port = listener.getsockname()[1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"http://127.0.0.1:{port}/m")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", f"{HANG_S:.0f}")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=named-outside")
        telemetry = start_telemetry({"service.instance.id": "worker-one"})
        assert isinstance(telemetry, Recorder)
        everything(telemetry)
        posted = posted_to(listener, partial(telemetry.shutdown, HANG_S))
    assert posted.startswith(b"POST /m HTTP/1.1")
    for text in (b"worker-one", b"named-outside", b"galaxy_notify.routes.published"):
        assert text in posted


def posted_to(listener: socket.socket, shutdown: Callable[[], bool]) -> bytes:
    """Answer one request that *shutdown* makes, and return it."""
    received = bytearray()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            while not complete(bytes(received)):
                received.extend(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    assert shutdown()
    thread.join(HANG_S)
    return bytes(received)


def complete(request: bytes) -> bool:
    head, found, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(found) and length is not None and len(body) >= int(length[1])
