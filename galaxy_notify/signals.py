"""The signals that end a process, heard from the program's first line on.

By default SIGTERM and SIGHUP kill a process wherever it stands: with a server started and nobody to
stop it. So the program hears them before it does anything else, and a signal is kept until the
command can act on it. What a command does with signals is one of these:

- keep them, and ask between two steps (`asked`, `go_on`): `demo`, `bench`, every start and end;
- be interrupted by an exception wherever it is (`interrupt`): commands that answer and end;
- hand them to an event loop (`hand_to`): the processes that serve.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

#: A drain takes ten seconds and telemetry three: a process that needs more hangs.
PATIENCE_S: Final = 14.5
#: How long a process that was asked twice may take.
IMPATIENCE_S: Final = 2.0
#: How long before the end at once a process that hangs ends what it started.
CLEARING_S: Final = 0.5
_HEARD: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal ends the command."""


class ShutdownWatchdog:
    """Ends the process with 1, and shows the stacks, when it was asked to end and does not.

    An encoder that never returns holds up the event loop, and with it all that signals would do.
    The time is counted by C code that needs neither the loop nor a lock of Python's. What must not
    be left behind, an embedded server, is ended by a thread just before.
    """

    def __init__(self, clear_away: Callable[[], object]) -> None:
        """Prepare; *clear_away* is called from another thread, shortly before the end."""
        self.patience_s = PATIENCE_S
        self._asked = False
        self._clear_away = clear_away
        self._timer: threading.Timer | None = None

    def count(self) -> None:
        """Count the patience from the first call on; a second one leaves two seconds."""
        seconds = IMPATIENCE_S if self._asked else self.patience_s
        self._asked = True
        out = 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError, RuntimeError):
            faulthandler.dump_traceback_later(seconds, exit=True, file=out)
        self._cancel()
        self._timer = threading.Timer(max(0.0, seconds - CLEARING_S), self._clear_away)
        self._timer.daemon = True
        with suppress(RuntimeError):  # there may be no room for another thread
            self._timer.start()

    def disarm(self) -> None:
        """Leave the end to the process itself."""
        self._asked = False
        self._cancel()
        faulthandler.cancel_dump_traceback_later()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Signals:
    """SIGTERM, SIGINT and SIGHUP of this process; use the one instance, from the main thread."""

    def __init__(self) -> None:
        self.last_resort = ShutdownWatchdog(self.clear_away)
        self.heard: list[int] = []
        #: What is still done when a second signal ends the process at once; must be quick.
        self.at_once: list[Callable[[], object]] = []
        self._act: Callable[[int], object] = self._keep
        self._before: dict[int, Any] = {}
        self._started = False
        self._reloads = False
        self._undivided = 0
        self._leaving = False

    @property
    def asked(self) -> int:
        """Return the first signal that asked the process to end, or 0."""
        ending = _ENDING if self._reloads else _HEARD
        return next((number for number in self.heard if number in ending), 0)

    def go_on(self) -> None:
        """Raise `Interrupted` once a signal has asked the process to end."""
        if self.asked:
            raise Interrupted

    def start(self) -> None:
        """Keep signals from now on, until the interpreter is gone: the program's first step."""
        self._started = True
        self._install()
        # Runs after everything else at the end: the interpreter restores what kills it.
        atexit.register(self._ignore)

    def keep(self) -> None:
        """Keep signals again: what follows ends by itself, and must not be interrupted."""
        self._act = self._keep

    def interrupt(self) -> None:
        """Let a signal raise `Interrupted` wherever the command is, also one heard before."""
        if self._started:
            self.keep_ignored()
            self._act = self._raise
            self.go_on()

    def keep_ignored(self) -> None:
        """Ignore SIGINT again, if it was ignored when the process started (a background job)."""
        if self._before.get(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.heard = [number for number in self.heard if number != signal.SIGINT]
            if not self.asked:
                self.last_resort.disarm()

    def reload_at_hangup(self) -> None:
        """Let SIGHUP ask for a reload, not for the end, also where ``nohup`` ignored it."""
        self._reloads = True
        self._hear(signal.SIGHUP)

    def hand_to(self, act: Callable[[int], object]) -> None:
        """Call *act* for each signal from now on; what came before is in `heard`."""
        self._act = act
        self._install()

    def take_back(self) -> None:
        """End `hand_to`: keep signals, or, where nothing was started, let all be as before."""
        self._act = self._keep
        if not self._started:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before.clear()
            self.heard.clear()
            self._reloads = False

    @contextmanager
    def handed_to(self, act: Callable[[int], object]) -> Iterator[None]:
        """Call *act* for each signal while the block runs."""
        before = self._act
        self.hand_to(act)
        try:
            yield
        finally:
            self.take_back()
            self._act = before

    @contextmanager
    def undivided(self) -> Iterator[None]:
        """Let no signal end the process at once while the block runs; it does so afterwards."""
        self._undivided += 1
        try:
            yield
        finally:
            self._undivided -= 1
            if self._leaving:
                self.leave()

    def leave(self) -> None:
        """End the process at once, with 1."""
        self._leaving = True
        if self._undivided:
            return
        self.clear_away()
        os._exit(1)

    def clear_away(self) -> None:
        """Do what must be done before the process ends at once."""
        while self.at_once:
            with suppress(Exception):
                self.at_once.pop()()

    def _install(self) -> None:
        for number in _HEARD:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._hear(number)

    def _hear(self, number: int) -> None:
        if number not in self._before:
            self._before[number] = signal.getsignal(number)
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.heard.append(number)
        self._act(number)

    def _keep(self, number: int) -> None:
        if number not in _ENDING:
            return
        if sum(1 for heard in self.heard if heard in _ENDING) > 1:
            self.leave()
        self.last_resort.count()

    def _raise(self, number: int) -> None:
        self._act = self._keep  # what cleans up is not interrupted again
        self._keep(number)
        raise Interrupted

    def _ignore(self) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)


SIGNALS: Final = Signals()
