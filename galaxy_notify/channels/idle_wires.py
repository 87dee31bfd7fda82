"""Connections that wait for their next request."""

from __future__ import annotations

import asyncio
from typing import Final

from galaxy_notify.channels.wire import Wire

#: Shorter than servers keep them, so that hardly ever one is closed while it is taken.
_KEPT_S: Final = 1.0
_MOST: Final = 256


class IdleWires:
    """Open connections by their origin, each for one second; at most 256 in all."""

    def __init__(self) -> None:
        self._wires: dict[str, dict[Wire, asyncio.TimerHandle]] = {}
        self._count = 0

    def take(self, origin: str) -> Wire | None:
        """Return the connection that was used last, or None; one that was closed is let go."""
        wires = self._wires.get(origin, {})
        for wire in reversed([*wires]):
            self._remove(origin, wire)
            if wire.is_quiet:
                wire.renew_allowance()
                return wire
            wire.close()
        return None

    def put(self, origin: str, wire: Wire) -> None:
        """Keep a connection on which nothing is under way."""
        if self._count >= _MOST:
            wire.close()
            return
        loop = asyncio.get_running_loop()
        expiry = loop.call_later(_KEPT_S, self._expire, origin, wire)
        self._wires.setdefault(origin, {})[wire] = expiry
        self._count += 1

    def close(self) -> None:
        """Close all of them."""
        for origin in [*self._wires]:
            for wire in [*self._wires[origin]]:
                self._expire(origin, wire)

    def _expire(self, origin: str, wire: Wire) -> None:
        self._remove(origin, wire)
        wire.close()

    def _remove(self, origin: str, wire: Wire) -> None:
        wires = self._wires[origin]
        wires.pop(wire).cancel()
        self._count -= 1
        if not wires:
            del self._wires[origin]
