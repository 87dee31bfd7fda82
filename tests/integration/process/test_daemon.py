"""The daemon as a process: how it starts, how it stops, what keeps it going."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from tests.support.daemons import DaemonProcess, Supervisor, daemon_on, supervisor
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server, main_server, running
from tests.support.wait import wait_until

Run = Callable[..., DaemonProcess]


@pytest.fixture
def run(server: Server) -> Iterator[Run]:
    """Run a daemon on the server: ``run(section__field=value)``; it is killed after the test."""
    with ExitStack() as stack:
        yield lambda *options, **given: stack.enter_context(daemon_on(server, *options, **given))


@pytest.fixture
def listener() -> Iterator[Supervisor]:
    """Be a supervisor that listens."""
    with supervisor() as made:
        yield made


def test_daemon__is_ready_without_redis(listener: Supervisor) -> None:
    """It says READY at once, says what it waits for, and works as soon as Redis is there."""
    with running(main_server()) as server:
        server.stop()
        variables = {"NOTIFY_SOCKET": listener.address}
        with daemon_on(server, variables=variables) as daemon:
            wait_until(lambda: "READY=1" in listener.heard, "it is ready")
            waits = "STATUS=waiting for redis: connection"
            wait_until(lambda: waits in listener.heard, "it tells what it waits for")
            wait_until(lambda: "WATCHDOG=1" in listener.heard, "it lives")
            server.start()
            daemon.wait_for("daemon working")
            working = "STATUS=0 published, 0 scheduled, 0 overdue, 0 dead"
            wait_until(lambda: working in listener.heard, "it tells that it works")
            daemon.signal(signal.SIGTERM)
            assert daemon.ended() == 0
            assert len(daemon.lines("redis unavailable")) == 1
            assert len(daemon.lines("redis available again")) == 1
    wait_until(lambda: "STOPPING=1" in listener.heard, "it has told that it stops")
    assert listener.heard.count("READY=1") == 1


def test_watchdog__is_fed_by_progress(run: Run, listener: Supervisor) -> None:
    """An idle daemon feeds its watchdog; one whose loop hangs starves it and dies with stacks."""
    daemon = run(
        variables={"NOTIFY_SOCKET": listener.address},
        gateway__encoder="tests.support.encoders:stuck",
    )
    daemon.wait_for("daemon working")
    wait_until(lambda: len(listener.told("WATCHDOG")) >= 2, "it is fed")
    _accept(daemon, title="hang")
    rounds = daemon.wait_for_rounds(1)
    listener.catch_up()
    fed = len(listener.told("WATCHDOG"))
    daemon.wait_for_rounds(rounds + 3)  # a second each
    listener.catch_up()
    assert len(listener.told("WATCHDOG")) == fed
    daemon.signal(signal.SIGABRT)
    assert daemon.ended() == -signal.SIGABRT
    assert "tests/support/encoders.py" in daemon.log.read_text()


def test_sigterm__ends_an_idle_daemon(run: Run) -> None:
    """An idle daemon drains and ends with 0."""
    daemon = run()
    daemon.wait_for("daemon working")
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    events = [line["event"] for line in daemon.lines()]
    assert events[-3:] == ["daemon stop requested", "daemon draining", "daemon stopped"]


def test_sigterm__in_the_middle_of_a_batch(server: Server, deploy: Deploy, run: Run) -> None:
    """What is encoded is settled, the rest is due at once; the next daemon publishes it."""
    deployment = deploy(server)
    deployment.notify(*(f"u{n:03}" for n in range(128)))
    daemon = run(gateway__encoder="tests.support.encoders:slow")
    daemon.wait_for_rounds(1)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    done = len(deployment.entries())
    assert 0 < done < 128
    assert deployment.leases() == {}
    assert len(deployment.due()) == 128 - done
    assert all(due <= deployment.now() for due in deployment.due().values())
    run()
    wait_until(lambda: not deployment.due(), "the rest is published")
    assert deployment.totals() == {"accepted": 128, "published": 128}


@pytest.mark.parametrize("away", [Server.kill, Server.pause])
def test_sigterm__during_an_outage(away: Callable[[Server], None]) -> None:
    """A daemon whose Redis is gone, or answers nothing, still ends with 0 in time."""
    with running(main_server()) as server, daemon_on(server) as daemon:
        daemon.wait_for("daemon working")
        away(server)
        daemon.wait_for("redis unavailable")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0  # 1 where it took longer than the 15 s that it may
        if away is Server.kill:
            server.start()


def test_second_signal__ends_it_at_once() -> None:
    """Whoever asks twice does not wait for the drain; the exit code tells."""
    with running(main_server()) as server, daemon_on(server) as daemon:
        daemon.wait_for("daemon working")
        server.pause()
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("daemon draining")
        daemon.signal(signal.SIGINT)
        assert daemon.ended() == 1
        assert daemon.lines("daemon exiting immediately")
        assert not daemon.lines("drain timed out")


def test_sighup__takes_over_what_it_can(
    server: Server, deploy: Deploy, run: Run, listener: Supervisor
) -> None:
    """A reload applies what needs no restart and names what does; a wrong file changes nothing."""
    deployment = deploy(server)
    daemon = run(variables={"NOTIFY_SOCKET": listener.address}, log__level="info")
    daemon.wait_for("daemon working")
    daemon.write_config(log__level="debug", worker__slots=3)
    daemon.signal(signal.SIGHUP)
    line = daemon.wait_for("settings reloaded")
    assert line["restart_needed_for"] == ["worker.slots"]
    # A call in flight during the reload still publishes without a line for each route.
    users = (f"u{n}" for n in count())
    wait_until(
        lambda: _published_next(deployment, users) and daemon.lines("route settled"),
        "each route has a line",
    )
    assert daemon.lines("route settled")[0]["result"] == "published"
    daemon.write_config(log__level="loud")
    daemon.signal(signal.SIGHUP)
    assert "log.level" in daemon.wait_for("settings reload failed")["reason"]
    wait_until(lambda: len(listener.told("RELOADING")) == 2, "the supervisor is told")
    wait_until(lambda: listener.heard.count("READY=1") == 3, "and that it is over")
    assert _published_next(deployment, users), "it goes on"


def _published_next(deployment: DeploymentFixture, users: Iterator[str]) -> bool:
    """Notify the next user and wait until the daemon has published that route."""
    expected = len(deployment.entries()) + 1
    deployment.notify(next(users))
    return wait_until(lambda: len(deployment.entries()) == expected, "the route is published")


def test_blocked_log__does_not_stop_it(server: Server, deploy: Deploy) -> None:
    """A log that nobody reads costs lines, not routes, nor the orderly end."""
    deployment = deploy(server)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with daemon_on(server, stderr=writer, log__level="debug") as daemon:
            for n in range(50):
                deployment.notify(*(f"u{n}-{k}" for k in range(4)))
            wait_until(lambda: not deployment.due(), "all are published")
            daemon.signal(signal.SIGTERM)
            assert daemon.ended() == 0
    finally:
        os.close(writer)
        os.close(reader)
    assert deployment.total("published") == 200


def test_daemon__refuses_a_deployment_of_other_shards(run: Run) -> None:
    """Two daemons that disagree about the shards do not both work: the second ends with 78."""
    first = run(worker__shards=2)
    first.wait_for("daemon working")
    second = run(worker__shards=3)
    assert second.ended() == 78
    assert "worker.shards: 3, but this deployment has 2" in second.log.read_text()
    assert first.process.poll() is None


def test_daemon__refuses_a_wrong_password(server: Server, run: Run) -> None:
    """A password that the first answer refuses is bad configuration, not an outage; 78."""
    with server.client() as client:
        client.config_set("requirepass", "right")
        try:
            daemon = run(redis__password="wrong")
            assert daemon.ended() == 78
            right = run(redis__password="right")
            right.wait_for("daemon working")
        finally:
            client.config_set("requirepass", "")
    text = daemon.log.read_text()
    assert "WRONGPASS" in text or "invalid" in text
    assert "right" not in text.replace("copyright", "")


def _accept(daemon: DaemonProcess, **fields: object) -> None:
    deployment = DeploymentFixture(daemon.server.url)
    deployment.notify("u1", **fields)
    deployment.close()
