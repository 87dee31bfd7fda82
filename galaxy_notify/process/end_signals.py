"""How a process that serves is asked to end: gently by a first signal, at once by a second."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Final

from galaxy_notify.signals import PATIENCE_S, SIGNALS

#: How long a process may take to end what it has in hand.
DRAIN_S: Final = 10.0


class EndSignals:
    """Hears SIGTERM, SIGINT and SIGHUP in an event loop, also those that came before it ran."""

    def __init__(
        self,
        asked: Callable[[str], None],
        again: Callable[[str], None],
        patience_s: float = PATIENCE_S,
        reload: Callable[[], None] | None = None,
    ) -> None:
        """Prepare; *asked* hears of the first signal, *again* of the one that ends the process.

        One that has not ended *patience_s* after the first is ended. SIGHUP ends it too, unless it
        can *reload*.
        """
        self._asked = asked
        self._again = again
        self._reload = reload
        self._is_asked = False
        self._taken = 0
        self._patience_s = patience_s

    def listen(self) -> None:
        """Hear them from now on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        # The byte that the interpreter writes at a signal ends the loop's wait.
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._loop.add_reader(self._woken, self._woken.recv, 4096)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        SIGNALS.last_resort.patience_s = self._patience_s
        if self._reload is not None:
            SIGNALS.reload_at_hangup()
        SIGNALS.hand_to(self._count)
        self._loop.call_soon(self._hear_all)

    def disarm(self) -> None:
        """Leave the end to the process itself: it drained."""
        SIGNALS.last_resort.disarm()
        SIGNALS.take_back()
        signal.set_wakeup_fd(-1)
        self._loop.remove_reader(self._woken)
        self._woken.close()
        self._waker.close()

    def _count(self, number: int) -> None:
        if not self._reloads_at(number):
            SIGNALS.last_resort.count()
        self._loop.call_soon_threadsafe(self._hear_all)

    def _hear_all(self) -> None:
        while self._taken < len(SIGNALS.heard):
            number = SIGNALS.heard[self._taken]
            self._taken += 1
            self._hear(number)

    def _hear(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._reload is not None and self._reloads_at(number):
            self._reload()
        elif self._is_asked:
            self._again(name)
            SIGNALS.leave()
        else:
            self._is_asked = True
            self._asked(name)

    def _reloads_at(self, number: int) -> bool:
        return self._reload is not None and number == signal.SIGHUP
