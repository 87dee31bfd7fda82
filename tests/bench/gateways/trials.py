"""The questions that both sides are asked, each on an empty server.

In every trial each event must arrive once at each connection of its user, and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import redis

from tests.bench.bench_run import patient
from tests.bench.gateways.crowd import Crowd
from tests.bench.gateways.events import Numbers
from tests.bench.gateways.producer import ACCEPT, producing, write_all
from tests.bench.gateways.sides import Node, Side
from tests.bench.processes import daemons
from tests.bench.watch import commands, server_cpu_s
from tests.support.servers import Server

_WARM = 50
_SETTLE_S = 8
_PRODUCER_S = 120
_SLOW_US = 3000
#: A server notices within this that a client has left, and carries what was written meanwhile.
_AWAY_S = 1


class Layout(NamedTuple):
    """How many processes, connections and users there are; without *users* one a connection."""

    processes: int
    connections: int
    users: int = 0

    def numbers(self, first: int, count: int) -> Numbers:
        """Return events for these users."""
        return Numbers(first, count, self.users or self.connections)


class Speed(NamedTuple):
    """Events and frames a second, and µs of Redis for each event: processor, and by command."""

    events: float
    frames: float
    server_us: float
    commands_us: dict[str, float]
    node_us: float


class Lateness(NamedTuple):
    """How long events took, in ms, the calls of Redis over 3 ms, and µs of Redis for each event.

    They are of its processor and by command, and have the writing of the event in them.
    """

    p50: float
    p99: float
    p999: float
    slow_calls: int
    server_us: float
    commands_us: dict[str, float]


@contextmanager
def _connected(side: Side, server: Server, layout: Layout) -> Iterator[tuple[list[Node], Crowd]]:
    with (
        side.nodes(server, layout.processes) as nodes,
        side.crowd(nodes, layout.connections, layout.users) as clients,
    ):
        clients.connect(layout.connections)
        yield nodes, clients


def full_speed(side: Side, server: Server, layout: Layout, batches: Sequence[int]) -> list[Speed]:
    """Have a backlog carried to connections, one after the other for so many events each.

    The processes are paused while it is written, so that its producer takes nothing from them.
    """
    found, first = [], 0
    with _connected(side, server, layout) as (nodes, clients), patient(server) as client:
        for count in batches:
            for node in nodes:
                node.process.pause()
            write_all(client, side.written, layout.numbers(first, count))
            client.config_resetstat()
            before = server_cpu_s(client), sum(node.process.cpu_s() for node in nodes)
            started = time.time()
            for node in nodes:
                node.process.go_on()
            answer = clients.expect(first, count)
            seconds = answer["last_s"] - started
            server_us = (server_cpu_s(client) - before[0]) / count * 1e6
            node_us = (sum(node.process.cpu_s() for node in nodes) - before[1]) / count * 1e6
            spent = _spent(client, count)
            rates = count / seconds, answer["frames"] / seconds
            found.append(Speed(*rates, server_us, spent, node_us))
            first += count
    return found


def lateness(
    side: Side, server: Server, layout: Layout, rate: int, count: int, *, accepted: bool = False
) -> Lateness:
    """Write events at a steady rate, or have them *accepted* and published by a daemon.

    The first fifth is not counted.
    """
    way, warm = ACCEPT if accepted else side.way, count // 5
    with (
        _connected(side, server, layout) as (_, clients),
        patient(server) as client,
        daemons(server.tcp_url, count=int(accepted)),
    ):
        _produce(server, way, rate, layout.numbers(0, warm))
        clients.expect(0, warm)
        client.config_set("slowlog-log-slower-than", _SLOW_US)
        client.slowlog_reset()
        client.config_resetstat()
        before = server_cpu_s(client)
        _produce(server, way, rate, layout.numbers(warm, count - warm))
        answer = clients.expect(warm, count - warm)
        server_us = (server_cpu_s(client) - before) / (count - warm) * 1e6
        spent = _spent(client, count - warm)
        slow = int(client.slowlog_len())
    return Lateness(answer["p50"], answer["p99"], answer["p99.9"], slow, server_us, spent)


def idle_memory(side: Side, server: Server, connections: int) -> float:
    """Return the KiB of a process for each connection that only receives keep-alives."""
    with side.nodes(server, 1) as (node,), side.crowd([node], _WARM + connections) as clients:
        clients.connect(_WARM)
        side.collect(node)
        before = node.process.rss_mb()
        clients.connect(connections)
        time.sleep(_SETTLE_S)  # what comes after connecting
        side.collect(node)
        return (node.process.rss_mb() - before) * 1024 / connections


class Storm(NamedTuple):
    """A process is killed; its clients connect to the other one at once. Times in s."""

    until_all_back: float
    back_p50: float
    back_p99: float
    late_p999: float
    server_busy: float
    resets: int


def storm(side: Side, server: Server, connections: int, rate: int) -> Storm:
    """Kill the process that has all the connections, while events go on at this rate."""
    layout = Layout(2, connections)
    with side.nodes(server, 2) as nodes, side.crowd(nodes, connections, spread=False) as clients:
        clients.connect(connections)
        _produce(server, side.way, rate * 2, layout.numbers(0, connections))
        clients.expect(0, connections)
        events = layout.numbers(connections, connections * 2)
        with patient(server) as client, producing(server.tcp_url, side.way, rate, events) as own:
            time.sleep(1)  # events are on their way by then
            before, killed = server_cpu_s(client), time.time()
            nodes[0].process.kill()
            back = clients.returned(connections)
            busy = (server_cpu_s(client) - before) / (time.time() - killed)
            own.wait(_PRODUCER_S)
            answer = clients.expect(events.first, events.count)
    if back["resumed"] + back["resets"] < connections:
        raise RuntimeError(f"{back['resumed']} of {connections} resumed")
    return Storm(
        back["last_s"] - killed,
        back["p50"],
        back["p99"],
        answer["p99.9"] / 1000,
        busy * 100,
        back["resets"],
    )


class Resumed(NamedTuple):
    """Which share of clients went on where they were, in %."""

    after_loss: float
    after_kill: float


def resumed(side: Side, server: Server, connections: int) -> Resumed:
    """Have clients lose their connection, and later their process, and come back to another one.

    While they are away events go on, which those that resume must get, each once.
    """
    layout = Layout(2, connections)
    shares = []
    for is_killed in (False, True):
        with (
            side.nodes(server, 2) as nodes,
            side.crowd(nodes, connections, spread=False) as clients,
            patient(server) as client,
        ):
            clients.connect(connections)
            write_all(client, side.written, layout.numbers(0, connections))
            clients.expect(0, connections)
            if is_killed:
                nodes[0].process.kill()
            else:
                clients.leave()
                time.sleep(_AWAY_S)
                write_all(client, side.written, layout.numbers(connections, connections * 2))
                time.sleep(_AWAY_S)
                clients.come_back()
            share = clients.returned(connections)["resumed"] / connections * 100
            if not is_killed and share == 100:
                clients.expect(connections, connections * 2)
            shares.append(share)
    return Resumed(*shares)


def history_bytes(side: Side, server: Server, entries: Sequence[int]) -> dict[int, int]:
    """Return the memory of the recent lists of users, by how many events they have."""
    users, found, first = 20, {}, 0
    layout = Layout(1, users)
    with _connected(side, server, layout) as (_, clients), patient(server) as client:
        for wanted in entries:
            count = wanted * users - first
            write_all(client, side.written, layout.numbers(first, count))
            clients.expect(first, count)
            first += count
            found[wanted] = _mean_bytes(client)
    return found


def _mean_bytes(client: redis.Redis) -> int:
    keys = list(client.scan_iter("{gn:0}:recent:*", count=1000))
    sizes = [int(client.memory_usage(key, samples=0) or 0) for key in keys]
    return sum(sizes) // len(sizes)


def _spent(client: redis.Redis, events: int) -> dict[str, float]:
    """Return the µs of each command for each event, since the counts were reset."""
    return {name: told["usec"] / events for name, told in commands(client).items()}


def _produce(server: Server, way: str, rate: int, numbers: Numbers) -> None:
    with producing(server.tcp_url, way, rate, numbers) as producer:
        producer.wait(_PRODUCER_S)
