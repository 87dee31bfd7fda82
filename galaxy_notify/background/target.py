"""Where a background notifier sends its queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from galaxy_notify.background.packed_intent import Kind
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.unknown import Unknown
from galaxy_notify.telemetry.outage import EdgeLog


class Target(Protocol):
    """Takes packed items, and answers what became of each.

    Callers use `pack`, in any thread; the other methods are called by the sender thread alone.
    """

    @property
    def kind(self) -> Kind:
        """What its items are."""
        ...

    def pack(self, item: object) -> bytes:
        """Return an item as it is now: the id of its notification, then what `send` needs.

        Raises `Invalid`, which names the field. It waits for nothing.
        """
        ...

    def fields(self, packed: bytes) -> Mapping[str, Any]:
        """Return the fields of a packed item; raise `Invalid` if they cannot be read."""
        ...

    def send(self, packed: Sequence[bytes]) -> list[Receipt | Unknown]:
        """Return what became of each item, in order; safe to repeat.

        One item never stops another. Raises `RedisFault` or `ConfigurationError` where none of them
        was sent.
        """
        ...

    def recover(self) -> None:
        """Prepare the next `send`, after one that failed."""
        ...

    def outages(self) -> EdgeLog:
        """Return what logs that the server is away, and that it is back."""
        ...

    def close(self) -> None:
        """End the connections that belong to the target alone."""
        ...


class HasTarget(Protocol):
    """What a queue can stand in front of, such as a `galaxy_notify.feed.Feed`."""

    @property
    def queue_target(self) -> Target:
        """What the queue is sent to."""
        ...
