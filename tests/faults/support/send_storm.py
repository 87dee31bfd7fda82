"""Storms over external channels: daemons and Redis die, or are restarted, while they send."""

from __future__ import annotations

import signal
import threading
import time
from functools import partial
from itertools import cycle

from tests.faults.support.mail_run import MailRun
from tests.faults.support.send_run import SendRun
from tests.support.daemons import DaemonProcess
from tests.support.wait import wait_until

#: A dead server stays dead for so long.
_DEAD_S = 1.0
_DAEMONS = 3
_FEWEST_RESTARTS = 4
_FAIL = 0.2


def send_storm(one: SendRun | MailRun, routes: int, kill_each_s: float, server_kills: int) -> None:
    """Have so many routes accepted and sent while daemons and the server are killed."""
    one.begin_failing(_FAIL)
    daemons = cycle([one.daemon() for _ in range(_DAEMONS)])
    load = one.load(one.shape(recipients=5, ahead_ms=1000, cancel=0.0, pause_s=0.02))
    deaths = kills = 0
    began = time.monotonic()

    def has_come(share: float) -> bool:
        return one.came() >= share * routes or (load.is_done and one.is_over)

    with load.running(routes):
        while not (load.is_done and kills == server_kills and has_come(1)):
            daemon = next(daemons)
            wait_until(partial(_is_working, daemon), "a daemon works")
            threading.Event().wait(kill_each_s)
            daemon.kill()
            daemon.start()
            deaths += 1
            if kills < server_kills and has_come((kills + 1) / (server_kills + 1)):
                one.server.kill()
                threading.Event().wait(_DEAD_S)
                one.server.start()
                kills += 1
    ended = time.monotonic()
    one.wait_until_over()
    one.figures.append(
        f"{one.journal.routes:,} routes in {ended - began:.0f} s; {_DAEMONS} daemons killed"
        f" {deaths} times, the server {kills} times; all over {time.monotonic() - ended:.1f} s"
        " after the last kill"
    )
    assert deaths
    assert kills == server_kills


def rolling_restart(one: SendRun | MailRun, routes: int) -> None:
    """Have so many routes accepted and sent while daemons are restarted by SIGTERM in turn."""
    one.begin_failing(_FAIL)
    daemons = cycle([one.daemon() for _ in range(2)])
    load = one.load(one.shape(recipients=5, ahead_ms=1000, cancel=0.0, pause_s=0.02))
    restarts = 0
    with load.running(routes):
        while not load.is_done or restarts < _FEWEST_RESTARTS:
            daemon = next(daemons)
            wait_until(partial(_is_working, daemon), "a daemon works")
            daemon.signal(signal.SIGTERM)
            assert daemon.ended() == 0, daemon.log.read_text()[-3000:]
            daemon.start()
            restarts += 1
    one.wait_until_over()
    one.figures.append(f"{one.journal.routes:,} routes, {restarts} restarts")


def _is_working(daemon: DaemonProcess) -> bool:
    assert daemon.process.poll() is None, daemon.log.read_text()[-3000:]
    return daemon.is_working
