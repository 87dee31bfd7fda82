"""What the server says about itself, and which workers told that they are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.redis_state.faults import RedisFault
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import number, read_all, text

#: A worker that made no progress for so long is not alive.
ALIVE_MS: Final = 30_000
_MOST_WORKERS: Final = 1000


@dataclass(frozen=True, slots=True)
class ServerName:
    """Flavour and version, and whether it is the primary."""

    flavour: str
    version: str
    role: str


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as it told about itself."""

    id: str
    host: str
    pid: int
    version: str
    started_ms: int
    progress_ms: int


def read_server_name(place: Place) -> ServerName:
    """Return what the server is; every user may ask that."""
    return server_name(read_all(place, [["HELLO"]])[0])


def server_name(hello: Any) -> ServerName:
    """Read the answer to HELLO."""
    if isinstance(hello, RedisFault):
        raise hello
    told = {text(name): value for name, value in pairs(hello).items()}
    role = text(told.get("role", b""))
    return ServerName(text(told.get("server", b"")), text(told.get("version", b"")), role)


def read_totals(place: Place) -> dict[str, int]:
    """Return the counts since the beginning, over all shards."""
    totals: dict[str, int] = {}
    for reply in read_all(place, (["HGETALL", keys.totals] for keys in place.all_keys)):
        for name, value in pairs(reply).items():
            totals[text(name)] = totals.get(text(name), 0) + number(value)
    return totals


def read_workers(place: Place, now_ms: int) -> list[Worker]:
    """Return the workers that told of progress within 30 s, by id."""
    since = now_ms - ALIVE_MS
    named = read_all(
        place,
        (
            ["ZRANGEBYSCORE", keys.workers, since, "+inf", "LIMIT", 0, _MOST_WORKERS]
            for keys in place.all_keys
        ),
    )
    asked = [
        (text(raw), keys.worker(text(raw)))
        for keys, members in zip(place.all_keys, named, strict=True)
        for raw in members
    ]
    workers: dict[str, Worker] = {}
    replies = read_all(place, (["HGETALL", key] for _, key in asked))
    for (name, _), reply in zip(asked, replies, strict=True):
        worker = _worker(name, pairs(reply))
        if worker and worker.progress_ms >= max(since, _progress(workers.get(name))):
            workers[name] = worker
    return [workers[name] for name in sorted(workers)]


def _progress(worker: Worker | None) -> int:
    return worker.progress_ms if worker else 0


def _worker(name: str, fields: dict[bytes, bytes]) -> Worker | None:
    if not fields:
        return None
    told = {text(field): text(value) for field, value in fields.items()}
    return Worker(
        name,
        told.get("host", ""),
        number(told.get("pid")),
        told.get("version", ""),
        number(told.get("started_ms")),
        number(told.get("progress_ms")),
    )


def pairs(reply: Any) -> dict[bytes, bytes]:
    """Return a map, however the server and the client hand it over."""
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
