"""What a check of all state finds, and how it tells faults from work that goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from galaxy_notify.redis_client.flows import Flow

Name = TypeVar("Name")
Seen = TypeVar("Seen")
Became = Literal["found", "mended", "left"]

# What moves under every look is at work, not at fault.
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """One thing that is wrong; *mends* says what ``--fix`` does about it, empty for nothing."""

    code: str
    subject: str
    what: str
    mends: str
    became: Became


@dataclass
class Looked:
    """How much was looked at."""

    notifications: int = 0
    routes: int = 0
    members: int = 0


@dataclass(frozen=True)
class Mending:
    """In whose name faults are mended, and which: all, or only those of *codes*."""

    actor: str
    fix: bool
    codes: frozenset[str] | None = None

    def mends(self, code: str) -> bool:
        """Return whether a fault of this code is to be mended."""
        return self.fix and (self.codes is None or code in self.codes)

    def mends_counts(self, *, left: bool) -> bool:
        """Return whether notifications are to be counted again; *left* where other faults are.

        A route that an index names, and that has no state, would be counted off; where its fault
        waits for somebody, its notification waits, too.
        """
        return self.fix and (self.codes is None or not left)


def settled(
    names: Sequence[Name],
    look: Callable[[Sequence[Name]], Flow[list[Seen]]],
    mend: Callable[[Sequence[Seen]], Flow[list[str]]],
    name_of: Callable[[Seen], Name],
) -> Flow[list[tuple[Seen, str]]]:
    """Look, look again in one piece, and start over with what moved in between.

    *look* finds faults among names; *mend* answers a word for each, ``moved`` where it is not as
    it was seen; *name_of* gives a fault's name back.
    """
    done: list[tuple[Seen, str]] = []
    for _ in range(_LOOKS):
        found = (yield from look(names)) if names else []
        if not found:
            break
        again: list[Name] = []
        words = yield from mend(found)
        for one, word in zip(found, words, strict=True):
            if word == "moved":
                again.append(name_of(one))
            else:
                done.append((one, word))
        names = again
    return done
