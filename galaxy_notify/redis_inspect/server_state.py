"""Whether the servers take writes, and for how long they have been up; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.replies import number
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_inspect.node_report import nodes_of
from galaxy_notify.redis_inspect.reading import try_all
from galaxy_notify.redis_state.deployment import Deployment

Writes = Literal["taken", "refused", "unknown"]

#: These say nothing of the server: the user may not ask, or the key holds something else.
_NOT_OF_THE_SERVER: Final = frozenset({"NOPERM", "WRONGTYPE"})
_SECTIONS: Final = ("server", "memory", "persistence", "replication")


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
        replies = run_all_sync(node.client, [Command(["INFO", section]) for section in _SECTIONS])
        found = [reply for reply in replies if not isinstance(reply, RedisFault)]
        if found:
            yield {str(name): value for section in found for name, value in section.items()}


def _refusal_in(info: Mapping[str, Any]) -> Fault | None:
    """Return why a server refuses writes, by what INFO says; None where it does not say so."""
    for code, text, holds in (
        ("READONLY", "it is a replica", info.get("role") == "slave"),
        ("OOM", "its memory is full", _is_full(info)),
        ("MISCONF", "it cannot write its append-only file", _cannot_append(info)),
    ):
        if holds:
            return Fault(code, Remedy.RETRY, text)
    return None


def _is_full(info: Mapping[str, Any]) -> bool:
    most = number(info.get("maxmemory"))
    used = number(info.get("used_memory")) - number(info.get("mem_not_counted_for_evict"))
    return 0 < most < used and info.get("maxmemory_policy") == "noeviction"


def _cannot_append(info: Mapping[str, Any]) -> bool:
    return str(info.get("aof_last_write_status", "ok")) != "ok"
