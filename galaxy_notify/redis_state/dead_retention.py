"""What the janitor does with dead letters: the oldest go where retention says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.dead_rows import (
    BATCH,
    DeadChange,
    DeadEntry,
    DeadRow,
    read_entries,
    read_rows,
    readings,
)
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.words import Word

ACTOR: Final = "janitor"
# Records are as large as producers like, so they are read few at a time; and a call looks at so
# many pages only, should the oldest entries be ones that cannot be purged.
_PAGE: Final = 64
# More than a record has beside its payload.
_FRAME_BYTES: Final = 65_536
_PAGES: Final = 2 * BATCH // _PAGE


class DeadRules(NamedTuple):
    """How long dead letters are kept, in ms, and how many per shard and channel; 0 is for ever."""

    dead_ms: int
    dead_max: int


class ExpiredDead(NamedTuple):
    """How many were purged for their age, how many for their number; and whether more wait."""

    aged: int = 0
    excess: int = 0
    more: bool = False


class _Plan(NamedTuple):
    """The oldest *aged* are too old, the oldest *excess* too many."""

    aged: int
    excess: int


async def expire_dead(
    client: redis.asyncio.Redis,
    keys: Keys,
    channel: str,
    rules: DeadRules,
    shared: SharedSettings,
) -> ExpiredDead:
    """Purge dead letters that are too old or too many, the oldest first, one batch at most.

    Raises `RedisFault`; running it again is safe.
    """
    plan = await _plan(client, keys.dead(channel), rules)
    wanted = min(max(plan), BATCH)
    purged, start = 0, 0
    for _ in range(_PAGES):
        if purged == wanted:
            break
        size = min(_PAGE, wanted - purged)
        most = shared.max_payload_bytes + _FRAME_BYTES
        page = await _oldest(client, keys, channel, (start, start + size - 1), most)
        done = await _purge(client, page, shared)
        purged += done
        # What could not be purged stays in front: the next page begins behind it.
        start += len(page) - done
        if not page:
            break
    aged = min(purged, plan.aged)
    return ExpiredDead(aged, purged - aged, more=purged == wanted < max(plan))


async def _plan(client: redis.asyncio.Redis, key: str, rules: DeadRules) -> _Plan:
    if not (rules.dead_ms or rules.dead_max):
        return _Plan(0, 0)
    size, time = await _read(client, Command(["ZCARD", key]), Command(["TIME"]))
    aged = 0
    if rules.dead_ms:
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        (aged,) = await _read(
            client, Command(["ZCOUNT", key, "-inf", f"({now_ms - rules.dead_ms}"])
        )
    return _Plan(aged, max(0, size - rules.dead_max) if rules.dead_max else 0)


async def _oldest(
    client: redis.asyncio.Redis,
    keys: Keys,
    channel: str,
    ranks: tuple[int, int],
    record_bytes: int,
) -> list[DeadRow]:
    (reply,) = await _read(client, Command(["ZRANGE", keys.dead(channel), *ranks, "WITHSCORES"]))
    entries: list[tuple[Keys, DeadEntry]] = [
        (keys, entry) for entry in read_entries(reply, channel, keys.shard)
    ]
    asked = readings(entries)
    if not asked:
        return list(read_rows(entries, asked, []))
    fields = [(read.command[1], name) for read in asked.values() for name in read.command[2:]]
    sizes = await run_all(client, [Command(["HSTRLEN", *field]) for field in fields])
    _pass_over_large(asked.values(), sizes, record_bytes)
    replies = await run_all(client, list(asked.values()))
    return list(read_rows(entries, asked, replies))


def _pass_over_large(asked: Iterable[Command], sizes: Iterable[Any], most: int) -> None:
    """Skip each field that is larger than any we write: another client wrote it."""
    steps = iter(sizes)
    for read in asked:
        for at in range(2, len(read.command)):
            size = next(steps)
            if isinstance(size, int) and size > most:
                read.command[at] = ""


async def _purge(
    client: redis.asyncio.Redis, rows: Sequence[DeadRow], shared: SharedSettings
) -> int:
    changes: list[tuple[int, DeadChange]] = []
    foreign: list[DeadRow] = []
    for row in rows:
        change = row.purged(ACTOR)
        if change is None:
            foreign.append(row)
        elif not row.why_no_purge:
            changes.append((row.keep_ms(shared), change))
    done = await _forget(client, foreign)
    for keep_ms, group in groupby(sorted(changes), key=lambda pair: pair[0]):
        call = dead_rows.route_purge(rows[0].keys, [change for _, change in group], keep_ms)
        done += calls.words(await run(client, call)).count(Word.PURGED)
    return done


async def _forget(client: redis.asyncio.Redis, rows: Sequence[DeadRow]) -> int:
    if not rows:
        return 0
    members = [row.entry.member for row in rows]
    key = rows[0].keys.dead(rows[0].entry.channel)
    (removed,) = await _read(client, Command(["ZREM", key, *members]))
    return int(removed)


async def _read(client: redis.asyncio.Redis, *commands: Command) -> list[Any]:
    return [unwrap(reply) for reply in await run_all(client, commands)]
