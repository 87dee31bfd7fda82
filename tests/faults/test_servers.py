"""What may befall a server and what it holds: rows 17, 26, 28 to 31, 48, 52 to 54 and 59."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.embedded.binaries import ServerBinary
from tests.faults.conftest import NewFaultRun
from tests.faults.support.aof import files
from tests.faults.support.chaos import Chaos, Stopwatch
from tests.faults.support.fault_run import FaultRun
from tests.faults.support.faulty_proxy import faulty
from tests.faults.support.load import Shape
from tests.faults.support.shifted_clock import ShiftedClock
from tests.support.deployment import DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.program import program
from tests.support.requirements import requires_program
from tests.support.roads import leased_road, usual_road
from tests.support.servers import Server, servers_found
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

NOW = Shape(ahead_ms=None, cancel=0.0)


@pytest.mark.slow
@usual_road
def test_row17__no_server_at_the_start(fault_run: NewFaultRun) -> None:
    """A daemon without a server is ready, tries rarely, says it once, and works when there is."""
    one = fault_run()
    one.hand_in(100)
    one.server.kill()
    with faulty(one.server.socket, one.rng) as proxy:
        daemon = one.daemon(url=proxy.url)
        daemon.wait_for("redis unavailable")
        connections = proxy.connections
        Stopwatch(10).wait()
        tries = proxy.connections - connections
        assert len(daemon.lines("redis unavailable")) == 1
        one.server.start()
        one.wait_until_over()
        one.assert_kept()
    one.figures.append(f"{tries} tries in 10 s")
    assert tries <= 20


@pytest.mark.slow
@usual_road
def test_row26__idle_connections_are_closed(fault_run: NewFaultRun) -> None:
    """A server that closes connections after a second of silence is no outage."""
    one = fault_run(options={"timeout": "1"}, worker__poll_interval_ms=5000)
    daemon = one.daemon()
    for _ in range(3):
        daemon.wait_for("daemon working")
        Stopwatch(3).wait()
        one.hand_in(20, Shape(ahead_ms=0))
        one.wait_until_over()
    one.assert_kept()
    assert daemon.lines("redis unavailable") == []


@usual_road
def test_row28__name_that_is_not_found(
    fault_run: NewFaultRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody knows the server's name, or it names nobody, work waits; then it goes on."""
    one = fault_run()
    ask = socket.getaddrinfo
    answers: list[str] = []

    def answered(host: Any, *rest: Any, **given: Any) -> Any:
        if host != "redis.test":
            return ask(host, *rest, **given)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(answers[0], *rest, **given)

    monkeypatch.setattr(socket, "getaddrinfo", answered)
    with faulty(one.server.socket, one.rng) as proxy:
        url = proxy.url.replace("127.0.0.1", "redis.test")
        harness = one.deployment.worker_harness(url=url)
        health = harness.shards[0].state.health
        with harness.running():
            wait_until(lambda: health.redis_is_away, "it is not found")
            answers.append("127.0.0.2")
            one.hand_in(20, NOW)
            assert health.redis_is_away
            answers[:] = ["127.0.0.1"]
            one.wait_until_over()
    one.assert_kept()


@pytest.mark.slow
def test_row29__killed_while_it_syncs_every_second(fault_run: NewFaultRun) -> None:
    """What the file lacks after a kill is lost whole: nothing twice, early or half-written."""
    one = fault_run(options={"appendfsync": "everysec"})
    one.daemon(), one.daemon()
    chaos, load = Chaos(one), one.load(Shape(pause_s=0.02))
    with load.running(1500):
        chaos.run({"kill_server": 1}, lambda: load.is_done, 5.0)
    one.wait_until_over()
    report = one.report()
    one.figures.append(f"{chaos.counts['kill_server']} kills of the server")
    assert [found for found in report.violations if found.invariant != "I1"] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_row31__file_cut_at_every_byte(fault_run: NewFaultRun) -> None:
    """Wherever the file ends within its last transition, stream and states agree after a start."""
    one = fault_run()
    one.hand_in(20, NOW)
    one.daemon()
    one.wait_until_over()
    one.hand_in(10, Shape(recipients=1, ahead_ms=None, cancel=0.0))
    one.wait_until_over()
    one.server.kill()
    whole = files(one.server.folder)[-1].read_bytes()
    last = whole.rindex(b"*1\r\n$5\r\nMULTI")
    for end in range(last, len(whole)):
        _assert_sound(one.server.binary, whole[:end])
    one.server.start()
    one.figures.append(f"{len(whole) - last} places")


def _assert_sound(binary: ServerBinary, data: bytes) -> None:
    server = Server(binary, appendonly="yes")
    try:
        (server.folder / "appendonly.aof").write_bytes(data)
        server.start()
        deployment = DeploymentFixture(server.url)
        deployment.assert_sound()
        deployment.close()
    finally:
        server.remove()


@pytest.mark.slow
@usual_road
def test_row48__password_is_rotated(fault_run: NewFaultRun, tmp_path: Path) -> None:
    """A password that changes in file and server is picked up by running daemons."""
    one = fault_run()
    _set_password(one, tmp_path, "first")
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    daemon = one.daemon(variables=credentials, redis__username="worker")
    one.hand_in(50)
    # At its first answers a daemon would take a refusal for bad configuration.
    one.wait_until_over()
    _set_password(one, tmp_path, "second")
    one.deployment.client.client_kill_filter(user="worker")
    one.hand_in(50)
    one.wait_until_over()
    one.assert_kept()
    assert "second" not in daemon.log.read_text()


def _set_password(one: FaultRun, folder: Path, password: str) -> None:
    (folder / "redis__password").write_text(password)
    one.deployment.client.acl_setuser(
        "worker",
        enabled=True,
        reset_passwords=True,
        passwords=[f"+{password}"],
        keys=["*"],
        commands=["+@all"],
    )


@pytest.mark.slow
@requires_program("gcc")
@leased_road
def test_row52__clock_of_the_server_jumps(fault_run: NewFaultRun, tmp_path: Path) -> None:
    """An hour on and two back: leases that would last for hours are shortened, ids only grow."""
    # Kept for longer than the jumps, or what is done would be forgotten by the time of the check.
    one = fault_run([*servers_found()][-1], retention__settled_ms=86_400_000)
    clock = ShiftedClock(one.server, tmp_path)
    daemon = one.daemon()
    daemon.wait_for("daemon working")
    one.hand_in(100, NOW)
    one.wait_until_over()
    daemon.kill()
    one.hand_in(100, NOW)
    clock.set(3600)
    doomed = one.daemon("after_claim:kill")
    wait_until(lambda: doomed.process.poll() is not None, "it has died")
    clock.set(-3600)
    one.start_again(daemon)
    daemon.wait_for("leases shortened after clock step")
    clock.set(0)
    one.wait_until_over()
    one.hand_in(100, NOW)
    one.wait_until_over()
    one.assert_kept()
    ids = [_stream_id(entry["stream_id"]) for entry in one.deployment.entries()]
    assert ids == sorted(ids)


def _stream_id(raw: bytes) -> tuple[int, int]:
    ms, _, number = raw.decode().partition("-")
    return int(ms), int(number)


@pytest.mark.slow
def test_row59__very_many_due_at_once(fault_run: NewFaultRun) -> None:
    """A flood is taken in batches of the set size, all of it."""
    one = fault_run(options={"appendonly": "no"})
    intent = {**PLAIN, "recipients": [f"u{n}" for n in range(1000)]}
    for _ in range(10):  # at once they are more than a busy server takes in the time of a call
        one.deployment.notifier.accept_many([intent] * 20)
    daemons = [one.daemon(worker__batch_size=256), one.daemon(worker__batch_size=256)]
    one.wait_until_over()
    totals = one.deployment.totals()
    totals.pop("abandoned", None)  # on a slow machine a lease may expire
    assert totals == {"accepted": 200_000, "published": 200_000}
    assert all(
        line["published"] <= 256 * line["batches"]
        for d in daemons
        for line in d.lines("batch settled")
    )


@pytest.mark.slow
def test_row53__emptied_server(fault_run: NewFaultRun) -> None:
    """A daemon outlives that all is deleted, and goes on with what comes after."""
    one = fault_run()
    daemon = one.daemon()
    daemon.wait_for("daemon working")
    one.hand_in(100)
    one.deployment.client.flushdb()
    one.journal.promises.clear()
    one.deployment.load_scripts()
    daemon.kill()
    one.start_again(daemon)
    one.hand_in(100)
    one.wait_until_over()
    assert one.report().violations == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stream", "schedule"])
def test_row53__deleted_key(fault_run: NewFaultRun, name: str) -> None:
    """Who deletes the stream loses events, not routes; what lost its schedule, fsck puts back."""
    one = fault_run()
    daemon = one.daemon()
    daemon.wait_for("daemon working")
    one.hand_in(100, Shape(ahead_ms=4000))
    keys = one.deployment.keys
    one.deployment.client.delete(keys.stream if name == "stream" else keys.schedule("push"))
    fixed = program(one.server, "fsck", "--fix", "--json")
    assert fixed.returncode == 0, fixed.stderr
    one.wait_until_over()
    one.hand_in(20, NOW)
    one.wait_until_over()
    violations = {found.invariant for found in one.report().violations}
    assert violations <= ({"I2"} if name == "stream" else set())
    assert daemon.process.poll() is None
    assert json.loads(program(one.server, "fsck", "--json").stdout)["findings"] == []


def test_row54__exhausted_stream(fault_run: NewFaultRun) -> None:
    """A stream without further ids holds the shard; nobody pays, and with a new one all is sent."""
    one = fault_run()
    daemon = one.daemon()
    daemon.wait_for("daemon working")
    last = f"{2**64 - 1}-{2**64 - 1}"
    one.deployment.client.xadd(
        one.deployment.keys.stream, {"user_id": "x", "event_type": "x"}, id=last
    )
    one.hand_in(50)
    daemon.wait_for("stream writes refused")
    one.deployment.client.delete(one.deployment.keys.stream)
    one.wait_until_over()
    one.assert_kept()
    assert all(route.attempts == 0 for route in one.deployment.routes().values())
