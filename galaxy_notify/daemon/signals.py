"""How a process is asked to end: gently by the first signal, at once by the second."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

from galaxy_notify.daemon.last_resort import PATIENCE_S, LastResort

#: How long a process may take to end what it has in hand.
DRAIN_S: Final = 10.0
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class EndSignals:
    """Hears SIGTERM and SIGINT."""

    def __init__(
        self,
        asked: Callable[[str], None],
        again: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Prepare; *asked* hears of the first signal, *again* of the one that ends the process.

        One that has not ended *patience_s* after the first is ended.
        """
        self._asked = asked
        self._again = again
        self._heard = False
        self._last_resort = LastResort(patience_s)

    def listen(self) -> None:
        """Hear them from now on."""
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self._hear, number)
        self._last_resort.watch(_ENDING)

    def call_off(self) -> None:
        """Leave the end to the process itself: it drained."""
        self._last_resort.call_off()

    def _hear(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._heard:
            self._again(name)
            os._exit(1)
        self._heard = True
        self._asked(name)
