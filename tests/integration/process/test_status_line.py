"""What a daemon tells its supervisor and its gauges while something stands still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_notify.daemon.status import StatusLine
from galaxy_notify.operations.pausing import pause
from galaxy_notify.process.supervisor import Supervisor
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.telemetry import Snapshot, Telemetry
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server, main_server, running


class Heard(Supervisor):
    """Keeps the newest status."""

    def __init__(self) -> None:
        super().__init__({})
        self.text = ""

    def status(self, text: str) -> None:
        self.text = text


class Seen(Telemetry):
    """Keeps the newest snapshot."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def observe(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot


class Desk:
    """A deployment with the status line of its one worker."""

    def __init__(self, deployment: DeploymentFixture) -> None:
        self.deployment, self.seen, self.heard = deployment, Seen(), Heard()
        self.harness = deployment.worker_harness(telemetry=self.seen)
        publisher = self.harness.shards[0].state.publisher
        self._line = StatusLine(publisher, self.harness.shards, self.heard, None)

    def look(self) -> str:
        """Return what the supervisor is told now."""
        self.harness.run(self._line.run_once())
        return self.heard.text


@pytest.fixture
def desk(server: Server, deploy: Deploy) -> Desk:
    """Give one on a server."""
    return Desk(deploy(server, gateway__max_len=100))


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Give a server that the test may stop."""
    with running(main_server()) as server:
        yield server


def test_line__names_a_paused_channel(desk: Desk) -> None:
    """The counts alone would pass for a worker that is well."""
    deployment = connect(desk.deployment.settings)
    assert desk.look() == "0 published, 0 scheduled, 0 overdue, 0 dead"
    pause(deployment, "push")
    deployment.close()
    told = desk.look()
    assert told == "channel push is paused; 0 published, 0 scheduled, 0 overdue, 0 dead"


def test_line__names_a_stream_that_is_full(desk: Desk) -> None:
    """Nothing is published into it until its groups read."""
    desk.deployment.whole = False  # the entries are none of ours
    for _ in range(200):
        desk.deployment.client.xadd(desk.deployment.keys.stream, {"a": "b"})
    assert desk.look().startswith("stream of shard 0 is full: its groups must read; 0 published")


def test_gauges__go_on_while_the_stream_refuses(desk: Desk) -> None:
    """Redis answers: how late everything becomes is to be seen."""
    desk.deployment.notify("u1")
    desk.harness.shards[0].state.health.stream_refused("no stream")
    assert desk.look().startswith("stream refused: no stream; 0 published, 1 scheduled")
    assert desk.seen.snapshot.backlogs[0, "push"].scheduled == 1


def test_gauges__show_no_old_numbers_while_redis_is_away(
    own_server: Server, deploy: Deploy
) -> None:
    """What cannot be read is absent, from the first look on."""
    desk = Desk(deploy(own_server))
    desk.deployment.notify("u1")
    desk.look()
    assert desk.seen.snapshot.backlogs
    own_server.stop()
    try:
        assert desk.look() == "redis: connection"
    finally:
        own_server.start()
    assert desk.seen.snapshot == Snapshot()
