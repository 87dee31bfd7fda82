"""Messages to the supervisor (systemd's sd_notify), and the watchdog of progress."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Final

_FEED_EVERY_S: Final = 1.0
#: A shard without progress for this long is stuck: every wait of the loop is far shorter.
STUCK_S: Final = 15.0


class Supervisor:
    """Sends messages to ``$NOTIFY_SOCKET``; without one it sends nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._last_status = ""

    def ready(self) -> None:
        """Report that the start is over; Redis may still be away."""
        self.send("READY=1")

    def stopping(self) -> None:
        """Report that the stop has begun."""
        self.send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self.send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that settings are being reloaded; `ready` ends the reload."""
        self.send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic() * 1_000_000)}")

    def status(self, text: str) -> None:
        """Report in one line what the process does; an unchanged line is not repeated."""
        if text != self._last_status:
            self._last_status = text
            self.send(f"STATUS={' '.join(text.split())[:200]}")

    def send(self, message: str) -> None:
        """Send one message; one that cannot be sent is dropped."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message.encode(), self._address)
        except OSError:
            pass  # an unreachable supervisor must not stop publishing


class ProgressWatchdog:
    """Feeds the watchdog from the progress of the loops, never from a timer.

    It is fed only while every shard has made recent progress, so a single hung shard trips it.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._progress: dict[int, float] = {}
        self._fed_at = 0.0

    def progressed(self, shard: int) -> None:
        """Record that the loop of a shard has made a pass."""
        now = monotonic()
        self._progress[shard] = now
        if now - self._fed_at >= _FEED_EVERY_S and now - min(self._progress.values()) < STUCK_S:
            self._fed_at = now
            self._supervisor.alive()

    def forget(self, shard: int) -> None:
        """Expect no more progress of a shard: its loop has ended."""
        self._progress.pop(shard, None)


def environ_supervisor() -> Supervisor:
    """Return the supervisor that started this process."""
    return Supervisor(os.environ)
