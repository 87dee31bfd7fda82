"""Waiting for a server that starts or ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from galaxy_notify.errors import Unavailable
from galaxy_notify.signals import SIGNALS

_STEP_SECONDS = 0.01

Wait = Callable[[Callable[[], bool], float], bool]


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition became true within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_SECONDS)
    return True


def wait_to_start(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait, but for no start of a server in a process that is asked to end: `Unavailable`."""

    def settled() -> bool:
        if SIGNALS.end_signal:
            raise Unavailable("the process is stopping, so no embedded server is started")
        return condition()

    return wait(settled, seconds)
