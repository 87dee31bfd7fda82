"""The end of a process whose event loop does not hear signals any more."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

#: A drain takes ten seconds and telemetry three: whoever needs more hangs.
PATIENCE_S: Final = 14.5
#: Whoever asks again is not made to wait.
IMPATIENCE_S: Final = 0.5


class LastResort:
    """Ends the process with 1, and shows the stacks, when it was told to end and does not.

    An encoder that never returns holds up the event loop, and with it all that signals would do.
    The time is counted by C code that needs neither the loop nor a lock of Python's.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._left_s = patience_s
        self._out = 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)

    def watch(self, numbers: Iterable[int]) -> None:
        """Count from the first of these signals on; the loop hears them none the less."""
        for number in numbers:
            signal.signal(number, self._count)

    def call_off(self) -> None:
        """Leave the end to the process itself: it drained."""
        faulthandler.cancel_dump_traceback_later()

    def _count(self, *_: object) -> None:
        with suppress(OSError, ValueError, RuntimeError):
            faulthandler.dump_traceback_later(self._left_s, exit=True, file=self._out)
        self._left_s = IMPATIENCE_S
