"""The gateway beside Socket.IO 4 with its Redis streams adapter, 500 connections.

All sides get the same events, with the same fields, written to Redis by the same program: ours to
the gateway stream, Socket.IO's as the adapter writes a broadcast to the room of a user. Clients are
the same bare sockets: ours read server-sent events, or the same stream over a WebSocket; those of
Socket.IO speak WebSocket, the faster of its transports, and answer its pings. Every event must
arrive once at its user. Speed is that of a backlog, written while the processes are paused, after a
first one has warmed them up. Latency is at 1,000 events a second from just before an event is
written. Memory is what a process holds more with 2,000 idle connections, on Node after a full
collection before and after.

*Socket.IO* has its default settings, and connection state recovery: a client goes on after a loss,
as ours does. *Socket.IO, tuned, no recovery* reads 1,000 entries at a time instead of 100, keeps
less of a connection, and a client that lost its connection misses what came meanwhile. *Resumed* is
the share of 100 clients that went on with another process, with each event that they missed: after
the loss of their connections, and after their process was killed.

What differs: our gateway checks a signed token, keeps the last events of each user, and numbers
them; Socket.IO's client names its user without proof. Its stream is not trimmed here, though
servers that write to it would keep the last 10,000 entries of all users. Our processes share the
events; the adapter has each process read all of them. Each process of ours is Python's one thread,
each of Socket.IO's Node's.
"""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures
from tests.bench.gateways import trials
from tests.bench.gateways.sides import Gateways, Side, SocketIo, WebSockets
from tests.bench.gateways.trials import Layout
from tests.bench.peers.socketio import RECOVERING, SOCKET_IO, TUNED
from tests.support.servers import Server

_RATE = 1000


def measure(bench: BenchRun, figures: Figures) -> None:
    """Ask both the same, in turns; who comes first changes from one run to the next."""
    sides: list[Side] = [SocketIo(RECOVERING), SocketIo(TUNED), Gateways(), WebSockets()]
    with bench.server() as server:
        for _ in range(bench.runs):
            sides.reverse()
            for processes in (1, 2, 4):
                for side in sides:
                    _speed(bench, figures, side, server, processes)
            for side in sides:
                _lateness(bench, figures, side, server)
            for side in sides:
                used = trials.idle_memory(side, server, bench.size(2000, 500))
                figures.add(f"{side.name}: idle connection", used, "KiB/connection")
        for side in sides:
            found = trials.resumed(side, server, bench.size(100, 10))
            figures.add(f"{side.name}: resumed after a loss", found.after_loss, "%")
            figures.add(f"{side.name}: resumed after a kill", found.after_kill, "%")
    figures.note(f"Socket.IO: {SOCKET_IO.version()}")
    for manner in (RECOVERING, TUNED):
        figures.note(f"{manner.name}: {manner.about}")


def _speed(bench: BenchRun, figures: Figures, side: Side, server: Server, processes: int) -> None:
    layout, batches = Layout(processes, 500), (bench.size(5000, 1000), bench.size(30_000, 2000))
    _, speed = trials.full_speed(side, server, layout, batches)
    name = f"{side.name}: {processes} process{'es' if processes > 1 else ''}"
    figures.add(name, speed.events, "events/s")
    figures.add(f"{name}: processor time", speed.node_us, "µs/event")
    figures.add(f"{name}: Redis", speed.server_us, "µs/event")


def _lateness(bench: BenchRun, figures: Figures, side: Side, server: Server) -> None:
    found = trials.lateness(side, server, Layout(2, 500), _RATE, bench.size(20_000, 2000))
    for label, value in (("p50", found.p50), ("p99", found.p99), ("p99.9", found.p999)):
        figures.add(f"{side.name}: 1,000/s, {label}", value, "ms")
