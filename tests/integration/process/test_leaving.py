"""A daemon that is told to end while something in it hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.daemons import daemon_on
from tests.support.deployment import Deploy
from tests.support.program import ROOT, environment
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

_HANGS = """
import time
from galaxy_notify.signals import SIGNALS
SIGNALS.watchdog.patience_s = 0.3
SIGNALS.start()
print("ready", flush=True)
while True:
    time.sleep(1)
"""
_UNDIVIDED = """
import asyncio, os, signal
from galaxy_notify.process.end_signals import EndSignals
from galaxy_notify.signals import SIGNALS

async def main():
    again = []
    EndSignals(lambda _: None, again.append).listen()
    with SIGNALS.uninterrupted():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        while not again:
            await asyncio.sleep(0)
        print("whole", flush=True)
    print("too late", flush=True)

SIGNALS.start()
asyncio.run(main())
"""
# The interpreter runs this before the program: names are looked up, and no answer comes.
_MUTE_RESOLVER = """
import socket, time
def hang(*_, **__):
    time.sleep(3600)
    raise socket.gaierror(-3, "no answer")
socket.getaddrinfo = hang
"""


def test_second_signal__waits_for_what_must_not_be_divided(server: Server) -> None:
    """A daemon that starts its embedded server again knows it before it leaves at once."""
    done = subprocess.run(
        [sys.executable, "-c", _UNDIVIDED],
        cwd=ROOT,
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("whole\n", 1), done.stderr


def test_hung_process__ends_with_its_stacks(server: Server) -> None:
    """What does not end in time after the first signal is ended, and shows where it hung."""
    with subprocess.Popen(
        [sys.executable, "-c", _HANGS],
        cwd=ROOT,
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, shown = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert "most recent call first" in shown


def test_hung_encoder__does_not_survive_the_second_signal(server: Server, deploy: Deploy) -> None:
    """A loop that hears nothing does not keep anybody from ending the process."""
    deployment = deploy(server)
    with daemon_on(server, gateway__encoder="tests.support.encoders:stuck") as daemon:
        daemon.wait_for("daemon working")
        deployment.notify("u1", title="hang")
        wait_until(lambda: deployment.leases(), "it hangs")
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGINT)
        assert daemon.ended() == 1


def test_name_lookup__that_hangs_does_not_delay_the_end(server: Server, tmp_path: Path) -> None:
    """The end of the process waits for no name server."""
    (tmp_path / "sitecustomize.py").write_text(_MUTE_RESOLVER)
    variables = {
        "GALAXY_NOTIFY_REDIS__URL": "redis://redis.example:6379/0",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }
    with daemon_on(server, variables=variables) as daemon:
        daemon.wait_for("redis unavailable")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
