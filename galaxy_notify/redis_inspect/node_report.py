"""What servers report about themselves, and whether they take writes; nothing is written.

None stands for each answer that this user may not ask for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal, NamedTuple

import redis

from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy, classify
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.nodes import NodesClient, at_shard, node_of
from galaxy_notify.redis_client.replies import number, pairs, text
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command, names, script
from galaxy_notify.redis_client.topology import SentinelTopology
from galaxy_notify.redis_inspect.servers import ServerName, server_name
from galaxy_notify.redis_state.deployment import Deployment, try_all

Fields = Mapping[str, str]

_TRIPS: Final = 7
_SLOWEST_OF: Final = 32
_SECTIONS: Final = ("clients", "memory", "persistence", "replication", "stats", "cluster")
#: The options for CONFIG GET, where the user may run it: no role may, as it shows passwords too.
OPTIONS: Final = ("appendfsync", "save", "min-replicas-to-write", "min-replicas-max-lag")


class Node(NamedTuple):
    """A server to look at; its name is empty where there is only one."""

    name: str
    client: redis.Redis


class Slow(NamedTuple):
    """Something that held the server up: what, for how long, and how long ago."""

    what: str
    took_ms: float
    ago_s: int


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One server; *unseen* names the commands that it did not answer, most often because the user
    lacks a right: their part of the report is unknown.
    """

    server: ServerName
    trip_ms: float
    offset_ms: float
    info: Fields | None
    replicas: Sequence[Fields]
    config: Fields
    scripts: int | None
    slow: Sequence[Slow]
    spikes: Sequence[Slow]
    cluster: Fields | None
    slots: Sequence[range] | None
    unseen: tuple[str, ...]


def nodes_of(deployment: Deployment) -> list[Node]:
    """Return the primaries that serve the shards."""
    clients = (at_shard(deployment.client, keys.tag) for keys in deployment.all_keys)
    primaries = {node_of(client): client for client in clients}
    several = len(primaries) > 1
    return [Node(name if several else "", client) for name, client in primaries.items()]


def read_sentinels(deployment: Deployment) -> dict[str, Fields | Fault]:
    """Return what each sentinel reports about the primary, or its fault; empty without any."""
    nodes = deployment.client
    asking = nodes.topology_client if isinstance(nodes, NodesClient) else None
    if asking is None or not isinstance(topology := asking.topology, SentinelTopology):
        return {}
    replies = {str(node): asking.reply(node, topology.details) for node in sorted(topology.nodes)}
    return {
        node: classify(reply)
        if isinstance(reply, Exception)
        else {text(name): text(value) for name, value in pairs(reply).items()}
        for node, reply in replies.items()
    }


def read_node(client: redis.Redis) -> NodeReport:
    """Read the report of a server; raise `RedisFault` where it is away."""
    trips, offsets, now_s = _clock(client)
    asked: dict[str, list[Command]] = {
        "HELLO": [Command(["HELLO"])],
        "INFO": [Command(["INFO", section]) for section in _SECTIONS],
        "CONFIG GET": [Command(["CONFIG", "GET", option]) for option in OPTIONS],
        "SCRIPT EXISTS": [Command(["SCRIPT", "EXISTS", *(script(name).sha for name in names())])],
        "SLOWLOG GET": [Command(["SLOWLOG", "GET", _SLOWEST_OF])],
        "LATENCY LATEST": [Command(["LATENCY", "LATEST"])],
    }
    replies = iter(run_all_sync(client, [read for reads in asked.values() for read in reads]))
    answers = {name: [next(replies) for _ in reads] for name, reads in asked.items()}
    unseen = tuple(name for name, found in answers.items() if any(map(_is_fault, found)))
    seen = {name: None if name in unseen else found for name, found in answers.items()}
    info = _info(seen["INFO"])
    is_cluster = info is not None and info.get("cluster_enabled") == "1"
    cluster, slots = _cluster(client) if is_cluster else (None, None)
    if is_cluster:
        parts = {"CLUSTER INFO": cluster, "CLUSTER SLOTS": slots}
        unseen += tuple(name for name, part in parts.items() if part is None)
    return NodeReport(
        server=server_name(answers["HELLO"][0]),
        trip_ms=median(trips),
        offset_ms=median(offsets),
        info=info,
        replicas=_replicas(seen["INFO"]),
        config=_config(seen["CONFIG GET"]),
        scripts=sum(_first(seen["SCRIPT EXISTS"])) if seen["SCRIPT EXISTS"] else None,
        slow=_slow(_first(seen["SLOWLOG GET"]), now_s),
        spikes=_spikes(_first(seen["LATENCY LATEST"]), now_s),
        cluster=cluster,
        slots=slots,
        unseen=unseen,
    )


def _clock(client: redis.Redis) -> tuple[list[float], list[float], int]:
    trips, offsets, seconds = [], [], 0
    for _ in range(_TRIPS):
        before = time.time_ns() / 1e6
        (reply,) = run_all_sync(client, [Command(["TIME"])])
        after = time.time_ns() / 1e6
        seconds, micros = map(int, unwrap(reply))
        trips.append(after - before)
        offsets.append(seconds * 1000 + micros / 1000 - (before + after) / 2)
    return trips, offsets, seconds


def _is_fault(reply: Any) -> bool:
    return isinstance(reply, RedisFault)


def _first(replies: Sequence[Any] | None) -> Any:
    """Return the reply of a command, or nothing where it was not answered."""
    return replies[0] if replies else ()


def _info(replies: Sequence[Any] | None) -> Fields | None:
    if replies is None:
        return None
    return {str(name): str(value) for section in replies for name, value in section.items()}


def _replicas(replies: Sequence[Any] | None) -> list[Fields]:
    found = (
        value
        for section in replies or ()
        for name, value in section.items()
        if name.startswith("slave") and isinstance(value, dict)
    )
    return [{str(name): str(value) for name, value in one.items()} for one in found]


def _config(replies: Sequence[Any] | None) -> Fields:
    found: dict[str, str] = {}
    for reply in replies or ():
        found |= {text(name): text(value) for name, value in pairs(reply).items()}
    return found


def _slow(rows: Iterable[Any], now_s: int) -> list[Slow]:
    """Read the slow log; of a command only the name is kept, as its arguments may be secret."""
    return [
        Slow(text(row[3][0]) if row[3] else "", int(row[2]) / 1000, now_s - int(row[1]))
        for row in rows
    ]


def _spikes(rows: Iterable[Any], now_s: int) -> list[Slow]:
    return [Slow(text(row[0]), float(row[3]), now_s - int(row[1])) for row in rows]


def _cluster(client: redis.Redis) -> tuple[Fields | None, list[range] | None]:
    info, slots = run_all_sync(
        client, [Command(["CLUSTER", "INFO"]), Command(["CLUSTER", "SLOTS"])]
    )
    fields = None
    if not isinstance(info, RedisFault):
        lines = (line.partition(":") for line in text(info).splitlines())
        fields = {name: value.strip() for name, _, value in lines}
    if isinstance(slots, RedisFault):
        return fields, None
    return fields, [range(int(row[0]), int(row[1]) + 1) for row in slots]


Writes = Literal["taken", "refused", "unknown"]

#: These say nothing of the server: the user may not ask, or the key holds something else.
_NOT_OF_THE_SERVER: Final = frozenset({"NOPERM", "WRONGTYPE"})
_STATE_SECTIONS: Final = ("server", "memory", "persistence", "replication")


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the servers of all shards do now; *refusal* says why one of them refuses writes.

    *uptime_s* is that of the server that was started last, None where we may not ask.
    """

    writes: Writes
    refusal: Fault | None
    uptime_s: int | None


def read_server_state(deployment: Deployment) -> ServerState:
    """Ask every server; raise `RedisFault` where Redis is away.

    A server that cannot be asked to write is ``refused`` where INFO says so, else ``unknown``.
    """
    infos = list(_infos(deployment))
    uptime = min((number(info.get("uptime_in_seconds")) for info in infos), default=None)
    faults = [fault for fault in _probed(deployment) if fault is not None]
    refusal = next((fault for fault in faults if fault.code not in _NOT_OF_THE_SERVER), None)
    if refusal is None and any(fault.code == "NOPERM" for fault in faults):
        refusal = next(filter(None, map(_refusal_in, infos)), None)
        return ServerState("refused" if refusal else "unknown", refusal, uptime)
    return ServerState("refused" if refusal else "taken", refusal, uptime)


def _probed(deployment: Deployment) -> Iterator[Fault | None]:
    """Ask each shard for a write that changes nothing: XX adds no member."""
    commands = (["ZADD", keys.workers, "XX", 0, ""] for keys in deployment.all_keys)
    for reply in try_all(deployment, commands):
        yield reply.fault if isinstance(reply, RedisFault) else None


def _infos(deployment: Deployment) -> Iterator[Mapping[str, Any]]:
    """Return what each server says of itself, as far as we may ask it."""
    for node in nodes_of(deployment):
        replies = run_all_sync(
            node.client, [Command(["INFO", section]) for section in _STATE_SECTIONS]
        )
        found = [reply for reply in replies if not isinstance(reply, RedisFault)]
        if found:
            yield {str(name): value for section in found for name, value in section.items()}


def _refusal_in(info: Mapping[str, Any]) -> Fault | None:
    """Return why a server refuses writes, by what INFO says; None where it does not say so."""
    for code, what, holds in (
        ("READONLY", "it is a replica", info.get("role") == "slave"),
        ("OOM", "its memory is full", _is_full(info)),
        ("MISCONF", "it cannot write its append-only file", _cannot_append(info)),
    ):
        if holds:
            return Fault(code, Remedy.RETRY, what)
    return None


def _is_full(info: Mapping[str, Any]) -> bool:
    most = number(info.get("maxmemory"))
    used = number(info.get("used_memory")) - number(info.get("mem_not_counted_for_evict"))
    return 0 < most < used and info.get("maxmemory_policy") == "noeviction"


def _cannot_append(info: Mapping[str, Any]) -> bool:
    return str(info.get("aof_last_write_status", "ok")) != "ok"
