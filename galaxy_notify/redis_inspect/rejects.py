"""The intent stream and its rejects as operators see them. Every function raises `RedisFault`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import number, pairs, text
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_state.deployment import Deployment, read_all, try_all
from galaxy_notify.redis_state.group_report import order_of
from galaxy_notify.redis_state.intents import intake_resubmit
from galaxy_notify.redis_state.keys import IntentKeys
from galaxy_notify.redis_state.words import Word

# An intent may be as large as intake.max_bytes: few are in memory at a time.
_PAGE: Final = 32


class IntakeState(NamedTuple):
    """The state of the intent stream: entries, those delivered to a reader, and rejects."""

    length: int
    pending: int
    oldest_ms: int | None
    rejects: int

    @property
    def unread(self) -> int:
        """Return how many entries no reader was given; finished entries are deleted."""
        return max(0, self.length - self.pending)


def read_state(deployment: Deployment, keys: IntentKeys, group: str) -> IntakeState:
    """Return the state of the stream; ``oldest_ms`` is None for an empty one."""
    length, first, time, rejects = read_all(
        deployment,
        [
            ["XLEN", keys.stream],
            ["XRANGE", keys.stream, "-", "+", "COUNT", 1],
            ["TIME"],
            ["XLEN", keys.rejects],
        ],
    )
    (pending,) = try_all(deployment, [["XPENDING", keys.stream, group]])
    if isinstance(pending, RedisFault):
        if "NOGROUP" not in pending.fault.text:
            raise pending
        pending = {"pending": 0}
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    oldest_ms = max(0, now_ms - order_of(text(first[0][0]))[0]) if first else None
    return IntakeState(int(length), int(pending["pending"]), oldest_ms, int(rejects))


class RejectRow(NamedTuple):
    """A reject as it is stored."""

    id: str
    fields: Mapping[bytes, bytes]

    def text(self, name: str) -> str:
        """Return a field as text, empty where there is none."""
        return text(self.fields.get(name.encode(), b""))

    def number(self, name: str) -> int:
        """Return a field as a number, 0 where there is none."""
        return number(self.fields.get(name.encode()))

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; of an intent that is no text the odd bytes are escaped."""
        raw = self.fields.get(b"intent", b"")
        return {
            "id": self.id,
            "entry_id": self.text("entry_id"),
            "code": self.text("code"),
            "field": self.text("field"),
            "message": self.text("message"),
            "deliveries": self.number("deliveries"),
            "at_ms": self.number("at_ms"),
            "bytes": self.number("bytes") or len(raw),
            "cut": b"bytes" in self.fields,
            "intent": raw.decode("utf-8", "backslashreplace"),
        }


def newest_reject(deployment: Deployment, keys: IntentKeys) -> str | None:
    """Return the id of the last reject, None where there is none."""
    (rows,) = read_all(deployment, [["XREVRANGE", keys.rejects, "+", "-", "COUNT", 1]])
    return text(rows[0][0]) if rows else None


def rejects_between(
    deployment: Deployment, keys: IntentKeys, first: str, last: str
) -> Iterator[RejectRow]:
    """Yield rejects by id, the oldest first, both ends included."""
    while True:
        command = ["XRANGE", keys.rejects, first, last, "COUNT", _PAGE]
        (rows,) = read_all(deployment, [command])
        yield from (_row(row) for row in rows)
        if len(rows) < _PAGE:
            return
        first = f"({text(rows[-1][0])}"


def find_rejects(
    deployment: Deployment, keys: IntentKeys, ids: Sequence[str]
) -> list[RejectRow | None]:
    """Return the rejects of these ids, None for each that does not exist."""
    found: list[RejectRow | None] = []
    for start in range(0, len(ids), _PAGE):
        asked = [["XRANGE", keys.rejects, one, one] for one in ids[start : start + _PAGE]]
        found += [_row(rows[0]) if rows else None for rows in read_all(deployment, asked)]
    return found


def replay_rejects(
    deployment: Deployment, keys: IntentKeys, ids: Sequence[str]
) -> list[str | RedisFault]:
    """Put intents back into the stream: the word of each, or its fault."""
    replies = run_all_sync(deployment.client, [intake_resubmit(keys, one) for one in ids])
    return [reply if isinstance(reply, RedisFault) else text(reply) for reply in replies]


def purge_rejects(
    deployment: Deployment, keys: IntentKeys, ids: Sequence[str]
) -> list[str | RedisFault]:
    """Purge rejects; return ``moved``, ``gone`` or its fault for each."""
    replies = try_all(deployment, [["XDEL", keys.rejects, one] for one in ids])
    words = {1: Word.MOVED, 0: Word.GONE}
    return [reply if isinstance(reply, RedisFault) else words[int(reply)] for reply in replies]


def _row(row: Sequence[Any]) -> RejectRow:
    name, fields = row
    return RejectRow(text(name), pairs(fields))
