"""The targets of the gateway, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.bench.target import Target

_AT_MOST: Any = {"at_least": False}
_OURS, _OVER_WEBSOCKET, _THEIRS = "galaxy-notify", "galaxy-notify, WebSocket", "Socket.IO"
_TUNED = "Socket.IO, tuned, no recovery"


def _latency(way: str, connections: str, share: str, bound: float | None) -> Target:
    figure = f"{way}, {connections} connections: {share}"
    return Target(figure, "gateway", figure, bound, unit="ms", **_AT_MOST)


def _beside(
    what: str, figure: str, bound: float | None, *, ours: str = _OURS, at_least: bool = True
) -> Iterator[Target]:
    """Yield the target beside Socket.IO with recovery, and what it is beside the tuned one."""
    for theirs, asked in ((_THEIRS, bound), (_TUNED, None)):
        names = f"{ours}: {figure}", f"{theirs}: {figure}"
        yield Target(f"× {theirs}: {what}", "socketio", names[0], asked, names[1], at_least)


GATEWAY_TARGETS: Final = (
    _latency("stream to socket", "500", "p50", 5),
    _latency("stream to socket", "500", "p99", 20),
    _latency("stream to socket", "5,000", "p50", None),
    _latency("stream to socket", "5,000", "p99", None),
    _latency("accept to socket", "500", "p50", None),
    _latency("accept to socket", "500", "p99", None),
    Target("one gateway", "gateway", "one gateway", 6000, unit="events/s"),
    Target("two gateways", "gateway", "two gateways: frames", 40_000, unit="frames/s"),
    Target(
        "Redis for each event, behind the stream",
        "gateway",
        "Redis: processor time",
        40,
        unit="µs/event",
        **_AT_MOST,
    ),
    Target(
        "Redis' commands for each event at 1,000/s",
        "gateway",
        "Redis at 1,000/s, 500 connections: all commands",
        40,
        unit="µs/event",
        **_AT_MOST,
    ),
    Target(
        "calls of Redis over 3 ms at 1,000 events/s",
        "gateway",
        "calls of Redis over 3 ms",
        0,
        unit="calls",
        **_AT_MOST,
    ),
    *(
        Target(
            f"memory, recent list with {entries} events",
            "gateway",
            f"recent list, {entries} events",
            bound,
            unit="bytes",
            **_AT_MOST,
        )
        for entries, bound in ((1, 700), (10, 4000), (100, 35_000))
    ),
    *(
        Target(
            f"memory, idle connection of {connections}",
            "crowds",
            f"idle, {connections} connections",
            12,
            unit="KiB",
            **_AT_MOST,
        )
        for connections in ("2,000", "10,000")
    ),
    Target("storm: all clients are back", "crowds", "storm: all back", None, unit="s", **_AT_MOST),
    Target(
        "memory, idle WebSocket of 2,000",
        "socketio",
        f"{_OVER_WEBSOCKET}: idle connection",
        24,
        unit="KiB",
        **_AT_MOST,
    ),
    *_beside("events/s, 1 process", "1 process", None),
    *_beside("events/s, 2 processes", "2 processes", 2),
    *_beside("events/s, 4 processes", "4 processes", 5),
    *_beside("1,000/s, 2 processes, p99", "1,000/s, p99", 0.7, at_least=False),
    *_beside("memory of an idle connection", "idle connection", 0.2, at_least=False),
    *(
        target
        for processes in ("1 process", "2 processes", "4 processes")
        for target in _beside(
            f"events/s, {processes}, WebSocket", processes, None, ours=_OVER_WEBSOCKET
        )
    ),
    *_beside(
        "memory of an idle WebSocket",
        "idle connection",
        None,
        ours=_OVER_WEBSOCKET,
        at_least=False,
    ),
)
