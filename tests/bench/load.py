"""Notifications to accept, made from a few numbers.

Other commits run this module too: it uses only what the package exports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from galaxy_notify import Intent
from tests.bench.texts import texts


@dataclass(frozen=True)
class Load:
    """Notifications to accept.

    Without ``due_ms`` they are due now; else their due times spread evenly over ``span_ms``, and
    each recipient is named after the due time, so that the stream alone tells how late it was.
    """

    notifications: int
    fan_out: int = 1
    text_bytes: int = 200
    due_ms: int = 0
    span_ms: int = 0
    first: int = 0
    step: int = 1
    #: Where to; empty: the channel that an intent without channels goes to.
    channel: str = ""

    @property
    def routes(self) -> int:
        """Return how many routes it has."""
        return self.notifications * self.fan_out

    def intents(self) -> Iterator[Intent]:
        """Make the intents, one after the other."""
        bodies = texts(self.text_bytes)
        many = [f"user-{number}" for number in range(self.fan_out)]
        channels: dict[str, Any] = {"channels": [self.channel]} if self.channel else {}
        for number in range(self.first, self.notifications, self.step):
            due = self.due_ms + number * self.span_ms // self.notifications
            yield Intent(
                type="bench.turn",
                producer="bench",
                recipients=many if self.fan_out > 1 else [self._recipient(number, due)],
                body=bodies[number % len(bodies)],
                data={"turn": number},
                due_at=due if self.due_ms else None,
                **channels,
            )

    def _recipient(self, number: int, due: int) -> str:
        return f"user-{due}" if self.due_ms else f"user-{number}"
