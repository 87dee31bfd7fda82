"""The counts of the intents of a background notifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: Why an intent was dropped; see docs/background.md.
DropReason = Literal["queue_full", "deadline", "spill_failed", "spill_corrupt", "closed"]


@dataclass(frozen=True, slots=True)
class Stats:
    """The number of intents in each state: ``enqueued`` and ``found`` are the sum of the others.

    ``enqueued`` counts the calls of `enqueue`, ``found`` the intents in the spill at the start.
    ``refused`` are counted by code, ``dropped`` by reason.
    """

    enqueued: int = 0
    found: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    spilled: int = 0
    queued: int = 0
    in_flight: int = 0

    @property
    def waiting(self) -> int:
        """How many intents have no answer yet."""
        return self.spilled + self.queued + self.in_flight


@dataclass(frozen=True, slots=True)
class Closed:
    """The intents that a background notifier did not send.

    ``remaining`` are the ids of intents that were never sent, ``unknown`` of those in flight when
    the time was over: `Notifier.accept` with these ids accepts each of them once. With a spill
    they are in its file instead, ``spilled`` of them.
    """

    stats: Stats
    remaining: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    spill_path: str | None = None

    @property
    def spilled(self) -> int:
        """How many intents wait in the file for the next start."""
        return self.stats.spilled

    @property
    def is_clean(self) -> bool:
        """Whether no intent was left."""
        return not (self.remaining or self.unknown or self.spilled)
