"""Several processes that serve one address: the parent, which starts and watches them.

The parent listens, forks, and serves nothing. It has no event loop and no threads, so a fork copies
neither. Why the processes share the listening socket: docs/decisions/0017-one-listening-socket.md.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.process.supervisor import ProgressWatchdog, Supervisor
from galaxy_notify.signals import SIGNALS
from galaxy_notify.telemetry.logs import get_logger

#: The parent says this before it closes its end; without it the parent was killed.
STOP: Final = b"STOP"
#: What a bad configuration ends with: a worker that starts again would only say it again.
BAD_CONFIGURATION: Final = 78
#: A worker that served for this long is started again at once, in seconds.
_STEADY_S: Final = 30.0
_FIRST_MS: Final = 100
#: What a worker may take beyond its own patience, in seconds; then it is killed.
_GRACE_S: Final = 1.0
_MESSAGE_BYTES: Final = 4096


@dataclass(frozen=True)
class Worker:
    """What a worker knows of the others."""

    number: int
    count: int
    #: One end of a socket pair: a message to the parent, and `STOP` or the end from it.
    channel: socket.socket
    #: Where the workers reach each other.
    folder: Path


class ParentSupervisor(Supervisor):
    """Sends the messages of a worker to its parent, which reports for all."""

    def __init__(self, channel: socket.socket) -> None:
        super().__init__({})
        self._channel = channel

    def send(self, message: str) -> None:
        # A parent that is gone, or stopped by a debugger, must not stop the serving.
        with suppress(OSError):
            self._channel.send(message.encode(), socket.MSG_DONTWAIT)


@dataclass
class _Member:
    """A worker, as the parent sees it."""

    number: int
    backoff: OutageBackoff = field(default_factory=lambda: OutageBackoff(_FIRST_MS))
    pid: int = 0
    channel: socket.socket | None = None
    start_at: float = 0.0
    status: str = ""
    is_ready: bool = False


class WorkerGroup:
    """Starts the workers, starts again what died, and ends when all have ended."""

    def __init__(self, count: int, supervisor: Supervisor, patience_s: float) -> None:
        """Prepare; a worker ends within *patience_s* after a signal. Raises
        `ConfigurationError` where there is no place for temporary files.
        """
        self.exit_code = 0
        self._members = [_Member(number) for number in range(1, count + 1)]
        self._supervisor = supervisor
        self._watchdog = ProgressWatchdog(supervisor)
        self._patience_s = patience_s
        self._log = get_logger("http")
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="galaxy-notify-"))
        except OSError as error:
            text = f"http.workers: needs a folder for temporary files: {error.strerror or error}"
            raise ConfigurationError(text) from None
        self._selector = selectors.DefaultSelector()
        self._seen = 0
        self._kill_at = 0.0
        self._is_stopping = False
        self._is_ready = False

    def run(self) -> Worker | None:
        """Start all; return in each worker, as what it is, and in the parent None at the end."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        SIGNALS.watchdog.patience_s = self._patience_s + 2 * _GRACE_S
        SIGNALS.deliver_to(lambda _: SIGNALS.watchdog.start_countdown())
        self._selector.register(woken, selectors.EVENT_READ)
        while True:
            self._handle_signals()
            for member in self._due():
                worker = self._start(member)
                if worker is not None:
                    for end in (woken, waker):
                        end.close()
                    return worker
            if self._is_stopping and not any(one.channel for one in self._members):
                break
            self._wait(woken)
        shutil.rmtree(self._folder, ignore_errors=True)
        SIGNALS.watchdog.disarm()
        SIGNALS.restore()
        signal.set_wakeup_fd(-1)
        return None

    def _due(self) -> list[_Member]:
        if self._is_stopping:
            return []
        now = monotonic()
        return [one for one in self._members if one.channel is None and one.start_at <= now]

    def _start(self, member: _Member) -> Worker | None:
        """Fork; return the worker in the new process, None in the parent."""
        # A signal in between would run the handlers of the parent in the worker.
        with _blocked_signals():
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                pid = os.fork()
            except OSError as error:
                # The system has no room for it now; those that serve go on.
                self._put_off(member, reason=str(error))
                return None
            if pid == 0:
                ours.close()
                self._forget_parent()
                return Worker(member.number, len(self._members), theirs, self._folder)
        theirs.close()
        member.pid, member.channel, member.start_at = pid, ours, monotonic()
        member.status, member.is_ready = "", False
        self._selector.register(ours, selectors.EVENT_READ, member)
        return None

    def _put_off(self, member: _Member, **about: object) -> None:
        """Start a worker later, after a pause that grows with each time."""
        pause_ms = member.backoff.next()
        member.start_at = monotonic() + pause_ms / 1000
        self._log.warning("http worker ended", worker=member.number, **about, restart_ms=pause_ms)

    def _forget_parent(self) -> None:
        """Keep nothing of the parent: an end of another's channel would hide the parent's death."""
        SIGNALS.hold()
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for other in self._members:
            if other.channel is not None:
                other.channel.close()

    def _wait(self, woken: socket.socket) -> None:
        now = monotonic()
        pauses = [one.start_at - now for one in self._members if one.channel is None]
        if self._is_stopping:
            pauses = [self._kill_at - now]
        timeout = max(0.0, min(pauses)) if pauses else None
        for key, _ in self._selector.select(timeout):
            if key.fileobj is woken:
                woken.recv(_MESSAGE_BYTES)
            else:
                self._heard(key.data)
        if self._is_stopping and monotonic() >= self._kill_at:
            self._kill_all()

    def _heard(self, member: _Member) -> None:
        assert member.channel is not None
        try:
            message = member.channel.recv(_MESSAGE_BYTES).decode()
        except ConnectionError:
            message = ""
        name, _, text = message.partition("=")
        match name:
            case "":
                self._ended(member)
            case "READY":
                member.is_ready = True
                if not self._is_ready and all(one.is_ready for one in self._members):
                    self._is_ready = True
                    self._supervisor.ready()
            case "WATCHDOG":
                # A worker that hangs starves the watchdog of all, as one process does.
                self._watchdog.progressed(member.number)
            case "STATUS":
                member.status = text
                self._report_status()

    def _report_status(self) -> None:
        texts = [one.status for one in self._members if one.status]
        self._supervisor.status("; ".join(dict.fromkeys(texts)))

    def _ended(self, member: _Member) -> None:
        """Take note of a worker that ended; it is started again after a pause."""
        assert member.channel is not None
        self._selector.unregister(member.channel)
        member.channel.close()
        member.channel = None
        self._watchdog.forget(member.number)
        _, status = os.waitpid(member.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if self._is_stopping:
            self.exit_code = self.exit_code or (1 if code else 0)
            return
        if code == BAD_CONFIGURATION:
            self.exit_code = code
            self._stop()
            return
        if monotonic() - member.start_at >= _STEADY_S:
            member.backoff.reset()
        self._put_off(member, pid=member.pid, exit_code=code)

    def _handle_signals(self) -> None:
        while self._seen < len(SIGNALS.received):
            name = signal.Signals(SIGNALS.received[self._seen]).name
            self._seen += 1
            if self._seen > 1:
                self._log.warning("http exiting immediately", signal=name)
                self._kill_all()
                shutil.rmtree(self._folder, ignore_errors=True)
                SIGNALS.exit_now()
            at_most_ms = round(self._patience_s * 1000)
            self._log.info("http stop requested", signal=name, at_most_ms=at_most_ms)
            if not self._is_stopping:
                self._stop()

    def _stop(self) -> None:
        self._is_stopping = True
        self._kill_at = monotonic() + self._patience_s + _GRACE_S
        self._supervisor.stopping()
        for member in self._members:
            if member.channel is not None:
                # One that cannot be reached is ending by itself.
                with suppress(OSError):
                    member.channel.send(STOP)
                    member.channel.shutdown(socket.SHUT_WR)

    def _kill_all(self) -> None:
        for member in self._members:
            if member.channel is not None:
                os.kill(member.pid, signal.SIGKILL)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS.handled)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
