"""Events through gateway processes to connections that server-sent events leave by.

Clients are bare sockets of one process, each with a user of its own unless it says otherwise;
everything runs on the same two cores. Every event must arrive once at each connection of its user,
under offsets without a hole. Latency is measured with 2 gateways at 1,000 events a second, open
loop: *stream to socket* from just before an entry is written to the gateway stream until the client
has read it, *accept to socket* from when a notification was to be accepted, with one daemon. Speed
is that of a backlog, written while the gateways are paused; *full lists* is the same for users who
already have the 100 events that are kept. *Frames* has 10 connections for each user. Redis' time is
that of the full lists with one gateway, without the writing of the events: by its processor, and by
command. At 1,000 events a second, with 2 gateways, it has the writing in it, and about as much time
of its processor goes into receiving and answering single calls. A recent list is that of events
with 150 bytes of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures
from tests.bench.gateways import trials
from tests.bench.gateways.sides import Gateways
from tests.bench.gateways.trials import Layout
from tests.support.servers import Server

_RATE = 1000
_UNIT = "µs/event"
#: Part -> the commands that clients send for it; those inside of scripts are in EVALSHA's time.
_PARTS = {
    "deliver": ("evalsha",),
    "read the stream": ("xreadgroup", "xpending", "xautoclaim"),
    "acknowledge": ("xack",),
    "tell": ("xadd",),
    "read the inbox": ("xread", "xtrim"),
}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Measure latency, speed and what Redis holds."""
    side = Gateways()
    crowds = (500, 5000) if not bench.quick else (50, 200)
    with bench.server() as server:
        for _ in range(bench.runs):
            for connections in crowds:
                _lateness(bench, figures, server, connections)
            _speed(bench, figures, server, crowds[0])
            for entries, size in trials.history_bytes(side, server, (1, 10, 100)).items():
                figures.add(f"recent list, {entries} events", size, "bytes")
    figures.note(f"latency: {_RATE:,} events a second, the first fifth left out")


def _lateness(bench: BenchRun, figures: Figures, server: Server, connections: int) -> None:
    side, layout, count = Gateways(), Layout(2, connections), bench.size(20_000, 2000)
    for way, accepted in (("stream", False), ("accept", True)):
        found = trials.lateness(side, server, layout, _RATE, count, accepted=accepted)
        name = f"{way} to socket, {connections:,} connections"
        for label, value in (("p50", found.p50), ("p99", found.p99), ("p99.9", found.p999)):
            figures.add(f"{name}: {label}", value, "ms")
        if not accepted:
            figures.add("calls of Redis over 3 ms", found.slow_calls, "calls")
            shown = f"Redis at 1,000/s, {connections:,} connections"
            figures.add(f"{shown}: processor time", found.server_us, _UNIT)
            _, of_all = [*_parts(found.commands_us)][-1]
            figures.add(f"{shown}: all commands", of_all, _UNIT)


def _speed(bench: BenchRun, figures: Figures, server: Server, connections: int) -> None:
    side = Gateways()
    batches = bench.size(100, 10) * connections, bench.size(20_000, 1000)
    one = trials.full_speed(side, server, Layout(1, connections), batches)
    figures.add("one gateway", one[0].events, "events/s")
    figures.add("one gateway, full lists", one[1].events, "events/s")
    figures.add("one gateway: processor time", one[0].node_us, _UNIT)
    figures.add("Redis: processor time", one[1].server_us, _UNIT)
    for part, spent in _parts(one[1].commands_us):
        figures.add(f"Redis: {part}", spent, _UNIT)
    two = trials.full_speed(side, server, Layout(2, connections), batches)
    figures.add("two gateways", two[0].events, "events/s")
    figures.add("two gateways, full lists", two[1].events, "events/s")
    # What a user misses is read again from the list, which holds 100 events: no backlog has more.
    shared = Layout(2, connections, connections // 10)
    (frames,) = trials.full_speed(side, server, shared, [batches[0] // 10])
    figures.add("two gateways: frames", frames.frames, "frames/s")


def _parts(commands_us: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Return the time of each part, and of all of them."""
    spent = {
        part: sum(commands_us.get(name, 0.0) for name in names) for part, names in _PARTS.items()
    }
    yield from spent.items()
    yield "all commands", sum(spent.values())
