"""What a check of all state finds, and how it tells faults from work that goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

Name = TypeVar("Name")
Seen = TypeVar("Seen")
Became = Literal["found", "mended", "left"]

# What moves under every look is at work, not at fault.
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Fault:
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


def settled(
    names: Sequence[Name],
    look: Callable[[Sequence[Name]], Iterable[Seen]],
    mend: Callable[[Sequence[Seen]], list[str]],
    name_of: Callable[[Seen], Name],
) -> Iterator[tuple[Seen, str]]:
    """Look, look again in one piece, and start over with what moved in between.

    *look* finds faults among names; *mend* answers a word for each, ``moved`` where it is not as
    it was seen; *name_of* gives a fault's name back.
    """
    for _ in range(_LOOKS):
        found = list(look(names)) if names else []
        if not found:
            return
        again: list[Name] = []
        for one, word in zip(found, mend(found), strict=True):
            if word == "moved":
                again.append(name_of(one))
            else:
                yield one, word
        names = again
