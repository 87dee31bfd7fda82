"""What a history has come to: the keys of a server as far as routes are concerned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from tests.faults.support.aof import Command

_FLAGS = {b"XX", b"NX", b"CH", b"GT", b"LT"}


class Scores:
    """A sorted set that also finds its members by their score."""

    def __init__(self) -> None:
        self.of: dict[bytes, float] = {}
        self._at: dict[float, set[bytes]] = defaultdict(set)

    def put(self, member: bytes, score: float) -> None:
        """Set the score of a member."""
        self.remove(member)
        self.of[member] = score
        self._at[score].add(member)

    def remove(self, member: bytes) -> None:
        """Take a member off."""
        score = self.of.pop(member, None)
        if score is not None:
            self._at[score].discard(member)
            if not self._at[score]:
                del self._at[score]

    def at(self, score: float) -> list[bytes]:
        """Return the members with this score."""
        return [*self._at.get(score, ())]

    def remove_between(self, low: bytes, high: bytes) -> None:
        """Take off what ZREMRANGEBYSCORE does."""
        if low == high:
            gone = self.at(float(low))
        else:
            gone = [m for m, score in self.of.items() if float(low) <= score <= float(high)]
        for member in gone:
            self.remove(member)


class Memory:
    """Applies commands as a server does; what holds no route is passed over."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        self.sets: dict[bytes, Scores] = defaultdict(Scores)
        self._known: dict[bytes, Callable[[Command], None]] = {
            b"HSET": self._hset,
            b"HDEL": self._hdel,
            b"ZADD": self._zadd,
            b"ZREM": self._zrem,
            b"ZREMRANGEBYSCORE": self._zremrangebyscore,
            b"DEL": self._delete,
            b"UNLINK": self._delete,
            b"FLUSHALL": self._flush,
            b"FLUSHDB": self._flush,
        }

    def apply(self, command: Command) -> None:
        """Do what the command did."""
        known = self._known.get(command[0].upper())
        if known is not None:
            known(command)

    def _hset(self, command: Command) -> None:
        self.hashes[command[1]].update(pairs(command[2:]))

    def _hdel(self, command: Command) -> None:
        for field in command[2:]:
            self.hashes[command[1]].pop(field, None)

    def _zadd(self, command: Command) -> None:
        scores, flags = self.sets[command[1]], _flags(command)
        for score, member in scored(command):
            refused = b"XX" if member not in scores.of else b"NX"
            if refused not in flags:
                scores.put(member, float(score))

    def _zrem(self, command: Command) -> None:
        for member in command[2:]:
            self.sets[command[1]].remove(member)

    def _zremrangebyscore(self, command: Command) -> None:
        self.sets[command[1]].remove_between(command[2], command[3])

    def _delete(self, command: Command) -> None:
        for key in command[1:]:
            self.hashes.pop(key, None)
            self.sets.pop(key, None)

    def _flush(self, _: Command) -> None:
        self.hashes.clear()
        self.sets.clear()


def _flags(command: Command) -> set[bytes]:
    """Return the options of a ZADD."""
    return {word.upper() for word in command[2:] if word.upper() in _FLAGS}


def scored(command: Command) -> Iterator[tuple[bytes, bytes]]:
    """Return the scores and members of a ZADD."""
    return pairs(command[2 + len(_flags(command)) :])


def pairs(words: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Take alternating words two by two."""
    steps = iter(words)
    return zip(steps, steps, strict=True)
