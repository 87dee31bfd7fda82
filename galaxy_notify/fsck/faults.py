"""The faults that a check of all state finds, and how work in progress is kept apart from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.words import Word

Name = TypeVar("Name")
Seen = TypeVar("Seen")
Became = Literal["found", "mended", "left"]

# A member that moves between all of these readings is being worked on.
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """One fault; *mends* is what ``--fix`` does about it, empty for nothing."""

    code: str
    subject: str
    what: str
    mends: str
    became: Became


@dataclass
class Looked:
    """How much was checked."""

    notifications: int = 0
    routes: int = 0
    members: int = 0
    user_keys: int = 0


@dataclass(frozen=True)
class RepairScope:
    """Who repairs faults, and which: all of them, or only those of *codes*."""

    actor: str
    fix: bool
    codes: frozenset[str] | None = None

    def mends(self, code: str) -> bool:
        """Return whether a fault of this code is to be repaired."""
        return self.fix and (self.codes is None or code in self.codes)

    def repairs_counts(self, *, left: bool) -> bool:
        """Return whether notifications are to be recounted; *left*: other faults were not repaired.

        A recount drops a route that an index names and that has no state; while its fault waits for
        an operator, its notification waits too.
        """
        return self.fix and (self.codes is None or not left)


def settled(
    names: Sequence[Name],
    look: Callable[[Sequence[Name]], Flow[list[Seen]]],
    repair: Callable[[Sequence[Seen]], Flow[list[str]]],
    name_of: Callable[[Seen], Name],
) -> Flow[list[tuple[Seen, str]]]:
    """Read, read again by one script, and start over with what moved in between.

    *look* finds faults among names. *repair* returns a word for each, ``moved`` where it differs
    from the first reading. *name_of* returns the name of a fault. Returns each fault and its word.
    """
    done: list[tuple[Seen, str]] = []
    for _ in range(_LOOKS):
        found = (yield from look(names)) if names else []
        if not found:
            break
        again: list[Name] = []
        words = yield from repair(found)
        for one, word in zip(found, words, strict=True):
            if word == Word.MOVED:
                again.append(name_of(one))
            else:
                done.append((one, word))
        names = again
    return done
