"""States of a whole deployment as strangers may leave them, for every command that reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from galaxy_notify.model.route import Failure, decode_route
from tests.properties.hostile.planting import DUE_MS, ID, KEYS, MEMBER, STATE, id_of, plant, record

State = Callable[[Any], object]
_INF = float("inf")
_STEERS = "\x1b[2J\x07\n\0\u202e"
_HUGE = "9" * 5000


def _dead(failure: Failure) -> bytes:
    raw = decode_route(STATE).dead_lettered("w" + _STEERS, failure, attempt=True)
    return raw[:2] + b"%013d" % DUE_MS + raw[15:]


def _scores(client: Any) -> None:
    for number, score in enumerate((_INF, -_INF, 1e300, -1.5, 0.5), 1):
        plant(client, f"{id_of(number)}/push:bad", score)
        client.zadd(KEYS.dead("push"), {f"{id_of(number)}/push:bad": score})
    client.zadd(KEYS.schedule("push"), {b"\xff" + _STEERS.encode(): -_INF, "x" * 4096: _INF})


def _head(client: Any) -> None:
    client.zadd(KEYS.schedule("push"), {b"\xff": -_INF})


def _leases(client: Any) -> None:
    plant(client, MEMBER, 9e12 + 0.5)
    leases = {b"\xff" + _STEERS.encode(): 9e12 + 0.5, "": _INF, "::": -_INF, _HUGE: 9e12}
    client.zadd(KEYS.leases("push"), leases)
    client.hset(KEYS.abandoned("push"), mapping={MEMBER: "inf", _STEERS: _HUGE, "x": "-1"})


def _names(client: Any) -> None:
    key = plant(client)
    client.hset(
        key, mapping={b"push:\xff": STATE, f"push:{_STEERS}": STATE, ":": b"", "x:" * 999: ""}
    )


def _records(client: Any) -> None:
    texts = ("k" + _STEERS, *(_STEERS,) * 3)
    raw = record(-(10**18), _STEERS, _STEERS, b"\x80", 10**19, 2**64 - 1, 100_000, 0, *texts)
    plant(client, record=raw, open=_HUGE)


def _parts(client: Any) -> None:
    plant(client, record=record(DUE_MS, "t", "p", b"\x80", None, None, 20_000), open="nan")


def _letters(client: Any) -> None:
    failure = Failure("c" + _STEERS, _STEERS * 100)
    plant(client, state=_dead(failure), record=record(DUE_MS, _STEERS, _STEERS))
    client.zrem(KEYS.schedule("push"), MEMBER)
    members = {MEMBER: DUE_MS, b"\xff" + _STEERS.encode(): 1, "x" * 4096: -_INF, "": _INF}
    client.zadd(KEYS.dead("push"), members)


def _totals(client: Any) -> None:
    told = {"published": _HUGE, "undone": _STEERS, "accepted": "-5", b"\xff": "1", "expired": "٣"}
    client.hset(KEYS.totals, mapping=told)
    client.xadd(KEYS.stream, {"a": "b"})
    client.xgroup_create(KEYS.stream, b"g\xff" + _STEERS.encode(), id="0")


def _stream(client: Any) -> None:
    client.xadd(KEYS.stream, {b"\xff": _STEERS.encode() * 10})
    odd = {"user_id": b"\xed\xa0\x80", "event_type": _STEERS, "event_id": "x" * 4096}
    client.xadd(KEYS.stream, {**odd, "payload_bytes": b"\xc1"})
    client.xgroup_create(KEYS.stream, "gateway", id="0")


def _workers(client: Any) -> None:
    now = int(client.time()[0]) * 1000
    for number, told in enumerate(
        [
            {"pid": "x", "progress_ms": "nan"},
            {b"\xff": b"\xff", "progress_ms": f"{now}0"},
            {"progress_ms": _HUGE, "pid": "1"},
            {"host": _STEERS, "version": _STEERS, "progress_ms": str(now), "pid": "9" * 4000},
        ]
    ):
        client.hset(KEYS.worker(f"w{number}"), mapping=told)
        client.zadd(KEYS.workers, {f"w{number}": now})
    client.zadd(KEYS.workers, {b"\xff" + _STEERS.encode(): _INF, "": -_INF})


#: What stands in Redis → how it gets there.
STATES: dict[str, State] = {
    "scores beyond all dates": _scores,
    "a head that is no member": _head,
    "leases of nobody": _leases,
    "routes without a name": _names,
    "a record of extremes": _records,
    "thousands of parts": _parts,
    "dead letters that steer terminals": _letters,
    "totals that are no numbers": _totals,
    "entries of anything": _stream,
    "workers of anything": _workers,
}

#: Every key of a shard but those of notifications.
SHARED: tuple[str, ...] = (
    *(KEYS.schedule("push"), KEYS.leases("push"), KEYS.abandoned("push"), KEYS.dead("push")),
    *(
        KEYS.accepted,
        KEYS.wake("push"),
        KEYS.stream,
        KEYS.parked,
        KEYS.paused,
        KEYS.totals,
        KEYS.orphans,
    ),
    *(KEYS.janitor, KEYS.workers, KEYS.worker("w"), KEYS.seen("gateway"), KEYS.notification(ID)),
)

#: Values of ``{gn:0}:meta`` that no deployment of ours has.
META: dict[str, tuple[str | bytes, ...]] = {
    "format": (_HUGE, "x", "-1", "", "1e3", "٣"),
    "shards": ("0", "1025", _HUGE, "nan", ""),
    "stream": (b"\xff", " ", _STEERS),
    "channels": ("", ",", "Push", "push,push", _STEERS, b"\xff"),
    "max_payload_bytes": ("0", "127", _HUGE),
    "max_routes": ("0", "1001", "1.5"),
    "past_due_ms": ("-1", "9" * 18),
    "max_len": ("0", "9" * 18),
    "trim": ("", "sometimes", _STEERS),
    "max_attempts": ("0", "-1"),
    "settled_ms": ("0", _HUGE),
    "idempotency_ms": ("9" * 18,),
}
