"""The dead letters of a whole deployment: read in the order of their death, replayed, purged."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from galaxy_notify.model.ids import Member, first_part, part_id
from galaxy_notify.model.notification import readable_record
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_client.runner import run_all_sync, run_sync
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state import dead_rows
from galaxy_notify.redis_state.dead_rows import (
    DeadChange,
    DeadEntry,
    DeadRow,
    read_entries,
    read_rows,
    readings,
)
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word

_PAGE: Final = 256
# Records are as large as producers like: few are in memory at a time.
_ROWS: Final = 64


class DiedBetween(NamedTuple):
    """From when to when dead letters died, both included."""

    since_ms: int
    until_ms: int


class DeadPosition(NamedTuple):
    """Where a dead letter stands in the order of their death."""

    dead_at_ms: int
    member: bytes


class DeadLetterIndex:
    """Reads and moves dead letters; every method raises `RedisFault`."""

    def __init__(self, deployment: Deployment) -> None:
        self.shared = deployment.shared
        self._client = deployment.client
        self._confirm = deployment.confirm
        self._key_space = deployment.key_space

    def newest_ms(self, channels: Sequence[str]) -> int:
        """Return when the last of the dead letters died, in epoch ms; 0 without dead letters."""
        asked = [
            Command(["ZREVRANGE", keys.dead(channel), 0, 0, "WITHSCORES"])
            for keys, channel in self._places(channels)
        ]
        found = [read_entries(reply, "", 0) for reply in self._read(asked)]
        return max((entry.dead_at_ms for page in found for entry in page), default=0)

    def rows(
        self, channels: Sequence[str], span: DiedBetween, after: DeadPosition | None = None
    ) -> Iterator[DeadRow]:
        """Yield the dead letters of all shards in the order in which they died.

        With *after* only those behind it. Each one that stays dead meanwhile comes exactly once,
        even if others are moved at the same time.
        """
        start = max(after or DeadPosition(0, b""), DeadPosition(span.since_ms, b""))
        places = self._places(channels)
        walks = [self._walk(keys, channel, start, span.until_ms) for keys, channel in places]
        merged = heapq.merge(*walks)
        while chunk := list(islice(merged, _ROWS)):
            rows = self._rows([(self._key_space.keys(entry.shard), entry) for entry in chunk])
            yield from (row for row in self._sure(rows) if row)

    def find(self, names: Sequence[Member]) -> list[DeadRow | None]:
        """Return the dead letters of these names, None for each that is not dead (any more)."""
        found: list[DeadRow | None] = []
        for at in range(0, len(names), _ROWS):
            found += self._find(names[at : at + _ROWS])
        return found

    def again(self, row: DeadRow) -> DeadRow | None:
        """Read a dead letter again, even one that died again; None where it has been moved."""
        name = row.entry.name
        return self._find([name])[0] if name else row

    def stored(self, rows: Sequence[DeadRow]) -> list[DeadRow]:
        """Read what is stored of these routes now, dead letters or not."""
        return self._rows([(row.keys, row.entry) for row in rows])

    def names_of(self, notification_id: str) -> Iterator[Member]:
        """Yield all routes of a notification in any state; the id of a part yields only its own."""
        whole = first_part(notification_id) == notification_id
        number, parts = 1, 1
        while number <= parts:
            part = part_id(notification_id, number) if whole else notification_id
            key = self._key_space.keys_for(part).notification(part)
            fields, records = self._read(
                [Command(["HKEYS", key]), Command(["HMGET", key, "record"])]
            )
            if whole and number == 1:
                record = readable_record(notification_id, unwrap(records)[0])
                parts = record.parts if record else 1
            for field in unwrap(fields):
                channel, colon, recipient = field.decode("utf-8", "replace").partition(":")
                if colon:
                    yield Member(part, channel, recipient)
            number += 1

    def replay(self, rows: Sequence[DeadRow], actor: str) -> list[str]:
        """Send dead letters of one shard on their way again; return a word for each."""
        call = dead_rows.route_replay(rows[0].keys, [row.replayed(actor) for row in rows])
        return self._run(call)

    def purge(self, rows: Sequence[DeadRow], actor: str) -> list[str]:
        """Purge dead letters of one shard; return a word for each."""
        changes: dict[int, list[tuple[int, DeadChange]]] = {}
        words: dict[int, str] = {}
        for position, row in enumerate(rows):
            if change := row.purged(actor):
                changes.setdefault(row.keep_ms(self.shared), []).append((position, change))
            else:
                words[position] = self._forget(row)
        for keep_ms, group in changes.items():
            call = dead_rows.route_purge(rows[0].keys, [change for _, change in group], keep_ms)
            words |= zip((position for position, _ in group), self._run(call), strict=True)
        return [words[position] for position in range(len(rows))]

    def _forget(self, row: DeadRow) -> str:
        """Take an entry that names no route off the index; it was never accepted nor counted."""
        key = row.keys.dead(row.entry.channel)
        (removed,) = self._read([Command(["ZREM", key, row.entry.member])])
        return Word.PURGED if unwrap(removed) else Word.GONE

    def _places(self, channels: Sequence[str]) -> Iterator[tuple[Keys, str]]:
        for keys in self._key_space.all_keys:
            for channel in channels:
                yield keys, channel

    def _walk(
        self, keys: Keys, channel: str, start: DeadPosition, until_ms: int
    ) -> Iterator[DeadEntry]:
        """Yield one index in order; a page starts behind the last member, never at a rank.

        The members of a millisecond are read again with the next page, and what came before is
        left out: a rank, or an offset into them, slips when others are removed meanwhile.
        """
        key, size = keys.dead(channel), _PAGE
        low, last = start
        while True:
            command = ["ZRANGEBYSCORE", key, low, until_ms, "WITHSCORES", "LIMIT", 0, size]
            page = read_entries(self._read([Command(command)])[0], channel, keys.shard)
            yield from (entry for entry in page if (entry.dead_at_ms, entry.member) > (low, last))
            if len(page) < size:
                return
            # A millisecond with more members than a page takes a larger one.
            size = size * 2 if page[-1].dead_at_ms == low else _PAGE
            low, last = page[-1].dead_at_ms, page[-1].member

    def _find(self, names: Sequence[Member]) -> list[DeadRow | None]:
        placed = [(self._key_space.keys_for(name.notification_id), name) for name in names]
        members = [f"{name.notification_id}/{name.route_id}" for name in names]
        scores = self._read(
            [
                Command(["ZSCORE", keys.dead(name.channel), member])
                for (keys, name), member in zip(placed, members, strict=True)
            ]
        )
        entries: list[tuple[Keys, DeadEntry] | None] = []
        for (keys, name), member, score in zip(placed, members, scores, strict=True):
            pairs = [] if unwrap(score) is None else [(member.encode(), float(score))]
            found = read_entries(pairs, name.channel, keys.shard)
            entries.append((keys, found[0]) if found else None)
        rows = iter(self._sure(self._rows([entry for entry in entries if entry])))
        return [next(rows) if entry else None for entry in entries]

    def _rows(self, entries: Sequence[tuple[Keys, DeadEntry]]) -> list[DeadRow]:
        asked = readings(entries)
        return list(read_rows(entries, asked, self._read(list(asked.values()))))

    def _sure(self, rows: Sequence[DeadRow]) -> list[DeadRow | None]:
        """Return None for each row that another client moved between the two readings.

        A suspect is damaged if the index still has it and its state has not changed since.
        """
        sure: list[DeadRow | None] = list(rows)
        positions = [position for position, row in enumerate(rows) if row.suspect]
        suspects = [rows[position] for position in positions]
        scores = self._read(
            [
                Command(["ZSCORE", row.keys.dead(row.entry.channel), row.entry.member])
                for row in suspects
            ]
        )
        for position, score, after in zip(positions, scores, self.stored(suspects), strict=True):
            if unwrap(score) is None or after.state != rows[position].state:
                sure[position] = None
        return sure

    def _run(self, call: ScriptCall) -> list[str]:
        return [text(word) for word in run_sync(self._client, call, self._confirm)]

    def _read(self, commands: Sequence[Command]) -> list[Any]:
        return run_all_sync(self._client, commands) if commands else []
