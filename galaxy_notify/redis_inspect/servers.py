"""What the server says about itself, and which workers reported that they are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.replies import moment, number, pairs, text
from galaxy_notify.redis_inspect.totals import apart
from galaxy_notify.redis_state.deployment import Deployment, read_all
from galaxy_notify.redis_state.worker_process import process_state

#: A worker that made no progress for this long is not alive.
ALIVE_MS: Final = 30_000
#: A worker reports its progress every 3 s; a refused one pauses for 5 s at most before that.
SILENT_MS: Final = 9_000

#: ``gone`` and ``stopped`` (by a signal) are seen only from the machine of the worker.
WorkerState = Literal["working", "silent", "stopped", "gone"]
_MOST_WORKERS: Final = 1000


@dataclass(frozen=True, slots=True)
class ServerName:
    """Flavour and version, and whether it is the primary."""

    flavour: str
    version: str
    role: str


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as it reported itself.

    ``state`` is ``working`` or ``silent``; ``stopped`` (by a signal) and ``gone`` are seen only
    from its own machine.
    """

    id: str
    host: str
    pid: int
    version: str
    started_ms: int
    progress_ms: int
    state: WorkerState = "working"


def read_server_name(deployment: Deployment) -> ServerName:
    """Return what the server is; every user may ask that."""
    return server_name(read_all(deployment, [["HELLO"]])[0])


def server_name(hello: Any) -> ServerName:
    """Read the answer to HELLO."""
    reply = {text(name): value for name, value in pairs(unwrap(hello)).items()}
    role = text(reply.get("role", b""))
    return ServerName(text(reply.get("server", b"")), text(reply.get("version", b"")), role)


def read_totals(deployment: Deployment) -> dict[str, int]:
    """Return the counts since the deployment began, over all shards; see `apart`."""
    totals: dict[str, int] = {}
    for reply in read_all(deployment, (["HGETALL", keys.totals] for keys in deployment.all_keys)):
        for name, value in pairs(reply).items():
            totals[text(name)] = totals.get(text(name), 0) + number(value)
    return apart(totals)


def read_workers(deployment: Deployment, now_ms: int) -> list[Worker]:
    """Return the workers that reported progress within 30 s, by id, with their states."""
    since = now_ms - ALIVE_MS
    named = read_all(
        deployment,
        (
            [
                *("ZRANGEBYSCORE", keys.workers, since, "+inf"),
                *("WITHSCORES", "LIMIT", 0, _MOST_WORKERS),
            ]
            for keys in deployment.all_keys
        ),
    )
    asked = [
        (text(raw), keys.worker(text(raw)), moment(score))
        for keys, members in zip(deployment.all_keys, named, strict=True)
        for raw, score in members
    ]
    workers: dict[str, Worker] = {}
    replies = read_all(deployment, (["HGETALL", key] for _, key, _ in asked))
    for (name, _, reported_ms), reply in zip(asked, replies, strict=True):
        # No worker wrote a time in the future, except before the clock was set back a little.
        newest_ms = reported_ms if reported_ms <= now_ms + ALIVE_MS else 0
        worker = _worker(name, pairs(reply), now_ms, newest_ms)
        earlier = workers.get(name)
        least = max(since, earlier.progress_ms) if earlier else since
        if worker and worker.progress_ms >= least:
            workers[name] = worker
    return [workers[name] for name in sorted(workers)]


def _worker(name: str, fields: dict[bytes, bytes], now_ms: int, newest_ms: int) -> Worker | None:
    if not fields:
        return None
    reported = {text(field): text(value) for field, value in fields.items()}
    pid = number(reported.get("pid"))
    progress_ms = max(number(reported.get("progress_ms")), newest_ms)
    return Worker(
        name,
        reported.get("host", ""),
        pid,
        reported.get("version", ""),
        number(reported.get("started_ms")),
        progress_ms,
        progress_state(pid, reported.get("process", ""), silent=now_ms - progress_ms > SILENT_MS),
    )


def progress_state(pid: int, process: str, *, silent: bool) -> WorkerState:
    """Return the state of a process that is *silent*, or reported progress just now."""
    match process_state(pid, process):
        case "gone" | "stopped" as known:
            return known
    return "silent" if silent else "working"
