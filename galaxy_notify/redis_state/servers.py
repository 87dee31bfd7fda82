"""What the server says about itself, and which workers told that they are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import number, read_all, text, try_all
from galaxy_notify.redis_state.runner import RedisFault

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
    (hello,) = read_all(place, [["HELLO"]])
    told = {text(name): value for name, value in _pairs(hello).items()}
    role = text(told.get("role", b""))
    return ServerName(text(told.get("server", b"")), text(told.get("version", b"")), role)


def read_info(place: Place, *sections: str) -> dict[str, str] | None:
    """Return what INFO tells of the sections, or None where we may not ask."""
    replies = try_all(place, [["INFO", section] for section in sections])
    if any(isinstance(reply, RedisFault) for reply in replies):
        return None
    return {str(name): str(value) for reply in replies for name, value in reply.items()}


def read_config(place: Place, *names: str) -> dict[str, str]:
    """Return the server's own settings, as far as we may see them."""
    replies = try_all(place, [["CONFIG", "GET", name] for name in names])
    found: dict[str, str] = {}
    for reply in replies:
        if not isinstance(reply, RedisFault):
            found |= {text(name): text(value) for name, value in _pairs(reply).items()}
    return found


def read_totals(place: Place) -> dict[str, int]:
    """Return the counts since the beginning, over all shards."""
    totals: dict[str, int] = {}
    for reply in read_all(place, (["HGETALL", keys.totals] for keys in place.all_keys)):
        for name, value in _pairs(reply).items():
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
        worker = _worker(name, _pairs(reply))
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


def _pairs(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return reply
    return dict(zip(reply[::2], reply[1::2], strict=True))
