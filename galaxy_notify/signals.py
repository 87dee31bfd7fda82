"""The signals that end a process, handled from the program's first line on.

By default SIGTERM and SIGHUP kill a process at any point, and a server that it has started would
go on running. So the program handles them before it does anything else, and holds a signal until
the command can act on it. A command does one of these with signals:

- hold them, and check between two steps (`end_signal`, `raise_if_ending`): `demo`, `bench`, and
  every start and end;
- let an exception interrupt it at any point (`interrupt`): commands that answer and end;
- deliver them to an event loop (`deliver_to`): the processes that serve.
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

#: Seconds a process may take to end: a drain takes ten and telemetry three, so one that needs more
#: is hung.
PATIENCE_S: Final = 14.5
#: Seconds a process may take after a second signal.
IMPATIENCE_S: Final = 2.0
#: Seconds before its forced exit at which a hung process ends what it started: enough for a thread
#: that a busy machine lets wait.
CLEARING_S: Final = 1.5
_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal ends the command."""


class ShutdownWatchdog:
    """Ends a process that does not end by itself after a signal: exit code 1, stacks on stderr.

    An encoder that never returns blocks the event loop, and with it every reaction to a signal.
    The time is counted by C code that needs neither the loop nor a Python lock. A thread ends
    what must not be left behind, such as an embedded server, just before the exit.
    """

    def __init__(self, clean_up: Callable[[], object]) -> None:
        """Prepare; *clean_up* is called from another thread, shortly before the forced exit."""
        self.patience_s = PATIENCE_S
        self._is_counting = False
        self._clean_up = clean_up
        self._timer: threading.Timer | None = None

    def start_countdown(self) -> None:
        """Force an exit after `patience_s`; a second call leaves two seconds."""
        seconds = IMPATIENCE_S if self._is_counting else self.patience_s
        self._is_counting = True
        out = 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError, RuntimeError):
            faulthandler.dump_traceback_later(seconds, exit=True, file=out)
        self._cancel()
        self._timer = threading.Timer(max(0.0, seconds - CLEARING_S), self._clean_up)
        self._timer.daemon = True
        with suppress(RuntimeError):  # the system may refuse another thread
            self._timer.start()

    def disarm(self) -> None:
        """Force no exit: the process ends by itself."""
        self._is_counting = False
        self._cancel()
        faulthandler.cancel_dump_traceback_later()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Signals:
    """SIGTERM, SIGINT and SIGHUP of this process; use the one instance, from the main thread."""

    def __init__(self) -> None:
        self.watchdog = ShutdownWatchdog(self.clean_up)
        self.received: list[int] = []
        #: Callables that run even if a second signal ends the process at once; must be quick.
        self.cleanups: list[Callable[[], object]] = []
        self._on_signal: Callable[[int], object] = self._hold
        self._earlier_handlers: dict[int, Any] = {}
        self._started = False
        self._reloads = False
        self._uninterrupted = 0
        self._exit_pending = False

    #: The signals that it handles.
    handled: Final = _HANDLED

    @property
    def end_signal(self) -> int:
        """The first signal that asks the process to end; 0 if none came."""
        ending = _ENDING if self._reloads else _HANDLED
        return next((number for number in self.received if number in ending), 0)

    def raise_if_ending(self) -> None:
        """Raise `Interrupted` if a signal has asked the process to end."""
        if self.end_signal:
            raise Interrupted

    def start(self) -> None:
        """Hold signals from now on, until the interpreter is gone: the program's first step."""
        self._started = True
        self._install_all()
        # Runs last: at its end the interpreter restores the default handlers, which would kill it.
        atexit.register(self._ignore_all)

    def hold(self) -> None:
        """Hold signals again: the following step ends by itself and must not be interrupted."""
        self._on_signal = self._hold

    def interrupt(self) -> None:
        """Let a signal, also one that came before, raise `Interrupted` at any point."""
        if self._started:
            self.restore_ignored_sigint()
            self._on_signal = self._interrupt
            self.raise_if_ending()

    def restore_ignored_sigint(self) -> None:
        """Ignore SIGINT again if it was ignored when the process started (a background job)."""
        if self._earlier_handlers.get(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.received = [number for number in self.received if number != signal.SIGINT]
            if not self.end_signal:
                self.watchdog.disarm()

    def reload_on_hangup(self) -> None:
        """Let SIGHUP ask for a reload instead of the end, also where ``nohup`` ignored it."""
        self._reloads = True
        self._install_handler(signal.SIGHUP)

    def deliver_to(self, callback: Callable[[int], object]) -> None:
        """Call *callback* for each signal from now on; earlier ones are in `received`."""
        self._on_signal = callback
        self._install_all()

    def restore(self) -> None:
        """End `deliver_to`: hold signals, or restore the earlier handlers without `start`."""
        self._on_signal = self._hold
        if not self._started:
            for number, handler in self._earlier_handlers.items():
                signal.signal(number, handler)
            self._earlier_handlers.clear()
            self.received.clear()
            self._reloads = False

    @contextmanager
    def delivering_to(self, callback: Callable[[int], object]) -> Iterator[None]:
        """Call *callback* for each signal while the block runs."""
        earlier = self._on_signal
        self.deliver_to(callback)
        try:
            yield
        finally:
            self.restore()
            self._on_signal = earlier

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Delay an exit at once until the block is over."""
        self._uninterrupted += 1
        try:
            yield
        finally:
            self._uninterrupted -= 1
            if self._exit_pending:
                self.exit_now()

    def exit_now(self) -> None:
        """End the process at once, with exit code 1."""
        self._exit_pending = True
        if self._uninterrupted:
            return
        self.clean_up()
        os._exit(1)

    def clean_up(self) -> None:
        """Run the cleanups, before the process ends at once."""
        while self.cleanups:
            with suppress(Exception):
                self.cleanups.pop()()

    def _install_all(self) -> None:
        for number in _HANDLED:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._install_handler(number)

    def _install_handler(self, number: int) -> None:
        if number not in self._earlier_handlers:
            self._earlier_handlers[number] = signal.getsignal(number)
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.received.append(number)
        self._on_signal(number)

    def _hold(self, number: int) -> None:
        if number not in _ENDING:
            return
        if sum(1 for received in self.received if received in _ENDING) > 1:
            self.exit_now()
        self.watchdog.start_countdown()

    def _interrupt(self, number: int) -> None:
        self._on_signal = self._hold  # cleaning up is not interrupted again
        self._hold(number)
        raise Interrupted

    def _ignore_all(self) -> None:
        for number in self._earlier_handlers:
            signal.signal(number, signal.SIG_IGN)


SIGNALS: Final = Signals()
