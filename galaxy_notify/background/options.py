"""The options of a background notifier."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.callables import check_callable

OnFull = Literal["drop_newest", "block_with_deadline", "spill"]
#: Called with the fields of a refused intent, and its receipt.
OnRefused = Callable[[Mapping[str, Any], Receipt], object]

_POLICIES: Final = ("drop_newest", "block_with_deadline", "spill")
_LARGEST_BATCH: Final = 1000
# A single intent may take all bytes, and is one value in the spill.
_LARGEST_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class BackgroundOptions:
    """The limits of a background notifier, and what it does when they are reached.

    - ``capacity``, ``capacity_bytes``: the most intents in memory, and their most bytes together
      (packed); the first limit that is reached counts.
    - ``on_full``: ``drop_newest`` drops a new intent, ``block_with_deadline`` lets the caller wait
      for room for at most ``block_ms``, ``spill`` writes the oldest to an SQLite database.
    - ``spill_path``, ``spill_max_bytes``: the path of the database, and its largest size.
    - ``batch``: how many intents are sent together.
    - ``on_refused``: called for each refused intent, in the sender thread.
    - ``exit_within_s``: how long the end of the process waits for remaining intents, if `close`
      was not called.
    """

    capacity: int = 10_000
    capacity_bytes: int = 64 << 20
    on_full: OnFull = "drop_newest"
    block_ms: int = 50
    spill_path: str | os.PathLike[str] | None = None
    spill_max_bytes: int = 1 << 30
    batch: int = 100
    on_refused: OnRefused | None = None
    exit_within_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("capacity", "capacity_bytes", "block_ms", "spill_max_bytes", "batch"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name}: {value!r} is not a whole number greater than 0")
        if self.exit_within_s < 0:
            raise ConfigurationError(f"exit_within_s: {self.exit_within_s} is less than 0")
        self._check_bounds()
        if self.on_refused is not None:
            check_callable("on_refused", self.on_refused, ("fields", "receipt"))
        if self.on_full not in _POLICIES:
            raise ConfigurationError(
                f"on_full: {self.on_full!r} is not one of {', '.join(_POLICIES)}"
            )
        if (self.on_full == "spill") != (self.spill_path is not None):
            raise ConfigurationError(
                'spill_path: required with on_full="spill", not allowed otherwise'
            )

    def _check_bounds(self) -> None:
        if self.capacity_bytes > _LARGEST_BYTES:
            raise ConfigurationError(f"capacity_bytes: at most {_LARGEST_BYTES}")
        if self.batch > _LARGEST_BATCH:
            raise ConfigurationError(f"batch: at most {_LARGEST_BATCH}")

    @property
    def block_s(self) -> float:
        """How long a caller may wait for room, in s."""
        return self.block_ms / 1000 if self.on_full == "block_with_deadline" else 0.0
