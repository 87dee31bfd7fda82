"""Clients with a badge: each has an event when the counts of its user include it.

Users mark nothing, so what is unread only becomes more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.bench.gateways.clients import SseClient
from tests.bench.gateways.frames import MARK

if TYPE_CHECKING:
    from tests.bench.gateways.crowd_process import CrowdProcess

_UNREAD = re.compile(rb'"unread":(\d+)')


class BadgeClient(SseClient):
    """Keeps an event with the time at which it was counted, which may be before it came."""

    def __init__(self, crowd: CrowdProcess, number: int) -> None:
        super().__init__(crowd, number)
        #: How many were unread at the beginning.
        self._before: int | None = None
        self._events: list[bytes] = []
        self._counted_us: list[int] = []
        self._kept = 0

    def take(self, now_us: int, data: bytes) -> None:
        """Pair the events that came with those that were counted."""
        if not self.is_ready:
            self.look(data)
        for message in data.split(b"\n\n"):
            if MARK in message:
                self._events.append(message)
            elif found := _UNREAD.search(message):
                self._count(now_us, int(found[1]))
        self._keep()

    def become_ready(self) -> None:
        """Count as connected once it is known what was unread before."""
        if self._before is not None and not self.is_ready:
            super().become_ready()

    def _count(self, now_us: int, unread: int) -> None:
        if self._before is None:
            self._before = unread
            self.become_ready()
        more = unread - self._before - len(self._counted_us)
        self._counted_us += [now_us] * more

    def _keep(self) -> None:
        until = min(len(self._events), len(self._counted_us))
        self.chunks += zip(
            self._counted_us[self._kept : until], self._events[self._kept : until], strict=True
        )
        self._crowd.received += until - self._kept
        self._kept = until
