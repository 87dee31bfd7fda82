"""The signals that end a serving process: the first one drains it, the second ends it at once."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from galaxy_notify.signals import PATIENCE_S, SIGNALS

#: Seconds a process may take to finish its work in flight.
DRAIN_S: Final = 10.0
#: The same for one that sends outside, where an attempt in flight ends by its own time limit.
SENDS_DRAIN_S: Final = 30.0


@dataclass
class EndSignals:
    """Handles SIGTERM, SIGINT and SIGHUP in an event loop, also those that came before it ran.

    *on_first* and *on_second* are called with the name of the signal. The second signal ends the
    process at once, and so does `ShutdownWatchdog` *patience_s* seconds after the first. SIGHUP
    counts as such a signal unless there is *on_reload*.
    """

    on_first: Callable[[str], None]
    on_second: Callable[[str], None]
    patience_s: float = PATIENCE_S
    on_reload: Callable[[], None] | None = None
    _is_ending: bool = field(default=False, init=False)
    _seen: int = field(default=0, init=False)

    def listen(self) -> None:
        """Handle signals from now on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        # At a signal the interpreter writes a byte here, which ends the loop's wait.
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._loop.add_reader(self._woken, self._woken.recv, 4096)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        SIGNALS.watchdog.patience_s = self.patience_s
        if self.on_reload is not None:
            SIGNALS.reload_on_hangup()
        SIGNALS.deliver_to(self._received)
        self._loop.call_soon(self._handle_all)

    def disarm(self) -> None:
        """Stop handling signals: the process has drained and ends by itself."""
        SIGNALS.watchdog.disarm()
        SIGNALS.restore()
        signal.set_wakeup_fd(-1)
        self._loop.remove_reader(self._woken)
        self._woken.close()
        self._waker.close()

    def _received(self, number: int) -> None:
        if self.on_reload is None or number != signal.SIGHUP:
            SIGNALS.watchdog.start_countdown()
        self._loop.call_soon_threadsafe(self._handle_all)

    def _handle_all(self) -> None:
        while self._seen < len(SIGNALS.received):
            number = SIGNALS.received[self._seen]
            self._seen += 1
            name = signal.Signals(number).name
            if self.on_reload is not None and number == signal.SIGHUP:
                self.on_reload()
            elif self._is_ending:
                self.on_second(name)
                SIGNALS.exit_now()
            else:
                self._is_ending = True
                self.on_first(name)
