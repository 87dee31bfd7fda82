"""The targets, as data."""

from __future__ import annotations

from typing import Any

from tests.bench.bench_run import before
from tests.bench.feed_targets import FEED_TARGETS
from tests.bench.gateways.targets import GATEWAY_TARGETS
from tests.bench.hook_targets import HOOK_TARGETS
from tests.bench.target import Target
from tests.bench.workloads.http import HELLO

_SINGLE, _OURS, _LATE = "single, 200 B", "galaxy-notify", "late at 50 % of the peak"
# What was newest when the targets were set: issues 15 and 16 ask for multiples of these.
_BEFORE_15, _BEFORE_16 = "847965b", "bb8e173"
_AT_MOST: Any = {"at_least": False}

_QUEUES = (
    Target(
        "published/s, before a consumer: × bunqueue's processed/s",
        "queues",
        "galaxy-notify: published",
        None,
        "bunqueue: done by 1",
    ),
    Target(
        "× bunqueue: processed/s, published and consumed",
        "queues",
        "galaxy-notify: done by 1",
        1,
        "bunqueue: done by 1",
    ),
    Target(
        "× bunqueue: processed/s, 4 worker processes",
        "queues",
        "galaxy-notify: done by 4",
        1,
        "bunqueue: done by 4",
    ),
    Target(
        "× bunqueue: lateness of delayed jobs, p50",
        "queues",
        "galaxy-notify: delayed, late p50",
        1,
        "bunqueue: delayed, late p50",
        **_AT_MOST,
    ),
    Target(
        "× bunqueue: adds/s, in bulk",
        "queues",
        "galaxy-notify: added in bulk",
        None,
        "bunqueue: added in bulk",
    ),
    Target(
        "× bunqueue: adds/s, 64 in flight",
        "queues",
        "galaxy-notify: added, 64 in flight",
        None,
        "bunqueue: added, 64 in flight",
    ),
)

_DRAINS = (
    Target("drain, single recipient: × the floor", "drain", _SINGLE, None, "floor"),
    Target(f"drain: × {_BEFORE_15}", "roads", "script", 1.8, before("script"), base=_BEFORE_15),
    Target(
        f"drain, json encoder: × {_BEFORE_15}",
        "roads",
        "json encoder",
        1.3,
        before("json encoder"),
        base=_BEFORE_15,
    ),
    *(
        Target(f"drain, {road}: × the commit before", "roads", road, None, before(road))
        for road in ("script", "leased", "json encoder")
    ),
    Target("drain, single recipient: × BullMQ", "peers", _OURS, 6, "BullMQ"),
    Target("drain, single recipient: × BullMQ, aimed at", "peers", _OURS, 10, "BullMQ"),
    Target("drain: × the best Python peer", "peers", _OURS, 15, "best Python peer"),
    Target(
        "server time per route: × XADD alone",
        "drain",
        f"{_SINGLE}: server",
        3.5,
        "floor: server",
        **_AT_MOST,
    ),
    Target(
        "server time per route, to the end: × XADD alone",
        "roads",
        "script, to the end: server",
        3.8,
        "floor: server",
        **_AT_MOST,
    ),
    Target(
        "server time per route, to the end: aimed at",
        "roads",
        "script, to the end: server",
        3.3,
        "floor: server",
        **_AT_MOST,
    ),
    Target("drain, fan-out of 100: × single", "drain", "fan-out of 100, 200 B", 1.2, _SINGLE),
    Target(
        "append-only everysec, bytes per route: × XADD alone",
        "durability",
        "append-only everysec: file",
        1.55,
        "floor, append-only everysec: file",
        **_AT_MOST,
    ),
    *(
        Target(
            f"{kind}: × XADD alone under the same setting",
            "durability",
            kind,
            None,
            f"floor, {kind}",
        )
        for kind in ("append-only off", "append-only everysec", "append-only always")
    ),
)

_ACCEPTS = (
    Target(
        f"accept, 64 at a time: × {_BEFORE_16}",
        "accept",
        "async, 64 at a time",
        3.5,
        before("async, 64 at a time"),
        base=_BEFORE_16,
    ),
    *(
        Target(f"accept, {way}: × the commit before", "accept", way, None, before(way))
        for way in ("async, 1 at a time", "async, 8 at a time", "async, 64 at a time")
    ),
    Target("accept, batch: × bare SET pipelined", "accept", "batch", None, "bare SET, pipelined"),
    Target("accept, batch", "accept", "batch", 50_000, unit="notifications/s"),
    Target("accept, single: × bare SET", "accept", "single", 0.6, "bare SET round trips"),
    Target(
        "HTTP POST, 64 connections: × FastAPI hello-world on h11", "http", "API", 0.55, HELLO["h11"]
    ),
    Target(
        "HTTP POST, 64 connections: × FastAPI hello-world on httptools",
        "http",
        "API",
        None,
        HELLO["httptools"],
    ),
    Target("HTTP POST, 64 connections: × the commit before", "http", "API", None, before("API")),
    Target(
        "accept, fan-out of 1,000 with preferences and cooldowns: × without",
        "rules",
        "preferences and cooldowns",
        10,
        "without rules",
        **_AT_MOST,
    ),
)

_CONSUMERS = (
    Target("consumer, one by one: × bare", "consumers", "1 consumer", 0.33, "bare reading"),
    Target("run_batches: × bare", "consumers", "1 consumer, run_batches", 0.6, "bare reading"),
    Target(
        "consumer, one by one: × the commit before",
        "consumers",
        "1 consumer",
        None,
        before("1 consumer"),
    ),
)

_LATENESS = (
    Target("urgent beside bulk: p99 of push", "urgent", "push: p99", 50, "", False, "ms"),
    Target(
        "urgent beside bulk: push's share, weighed 4 to 1",
        "urgent",
        "push's share of the batches",
        79,
        unit="%",
    ),
    Target(
        f"{_LATE}, p99: × the commit before",
        "steady",
        f"{_LATE}: p99",
        None,
        f"{before(_LATE)}: p99",
    ),
    Target(
        "accepted now, idle daemon, p50: × the commit before",
        "latency",
        "in the stream: p50",
        None,
        f"{before('in the stream')}: p50",
    ),
    Target(f"{_LATE}: p99", "steady", f"{_LATE}: p99", 10, **_AT_MOST, unit="ms"),
    Target(f"{_LATE}: p99.9", "steady", f"{_LATE}: p99.9", 50, **_AT_MOST, unit="ms"),
    Target("accepted now, idle daemon: p50", "latency", "in the stream: p50", 3, "", False, "ms"),
    Target("accepted now, idle daemon: p99", "latency", "in the stream: p99", 10, "", False, "ms"),
)

_SIZES = (
    Target(
        "claim beside the largest schedule: × beside the smallest",
        "waiting",
        "claim, largest",
        1.3,
        "claim, smallest, beside the largest",
        **_AT_MOST,
    ),
    Target(
        "publish beside the largest schedule: × beside the smallest",
        "waiting",
        "publish, largest",
        1.3,
        "publish, smallest, beside the largest",
        **_AT_MOST,
    ),
    Target(
        "memory, waiting notification", "waiting", "memory, single recipient", 700, "", False, "B"
    ),
    Target(
        "memory, each further recipient",
        "waiting",
        "memory, each further recipient",
        250,
        "",
        False,
        "B",
    ),
    Target(
        "memory, waiting notification, compact hashes",
        "waiting",
        "memory, single recipient, listpack",
        700,
        "",
        False,
        "B",
    ),
    Target("daemon's memory", "idle", "memory after the last backlog", 80, "", False, "MB"),
    Target(
        "daemon's memory is flat: last backlog × first",
        "idle",
        "memory after the last backlog",
        1.05,
        "memory after the first backlog",
        **_AT_MOST,
    ),
    Target("idle daemon", "idle", "idle: daemon", 0.5, "", False, "% of a core"),
    Target("idle commands", "idle", "idle: commands", 5, "", False, "per second"),
    Target("four workers: × two, 5 % being noise", "workers", "4 workers", 0.95, "2 workers"),
)

TARGETS = (
    *(*_QUEUES, *_DRAINS, *_ACCEPTS, *_CONSUMERS, *_LATENESS, *_SIZES),
    *(*GATEWAY_TARGETS, *FEED_TARGETS, *HOOK_TARGETS),
)
