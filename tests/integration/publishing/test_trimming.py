"""The length of the gateway stream: trimmed as its readers allow, and held where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.publishing import janitor
from galaxy_notify.redis_inspect.stream import read_streams
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.telemetry import Lines
from tests.support.wait import wait_until
from tests.support.worker import WorkerHarness


def publish(deployment: DeploymentFixture, harness: WorkerHarness, number: int) -> list[bytes]:
    """Publish events and return the stream ids of all there are."""
    deployment.notify(*(f"u{n}" for n in range(number)))
    while deployment.due():
        harness.step()
    return stream_ids(deployment)


def stream_ids(deployment: DeploymentFixture) -> list[bytes]:
    """Return the stream ids of all entries."""
    entries: Any = deployment.client.xrange(deployment.keys.stream)
    return [stream_id for stream_id, _ in entries]


def read(deployment: DeploymentFixture, group: str, number: int, acknowledge: int) -> None:
    """Let a group read some entries and acknowledge the first of them."""
    stream = deployment.keys.stream
    reply: Any = deployment.client.xreadgroup(group, "gw-1", {stream: ">"}, count=number)
    ids = [stream_id for stream_id, _ in reply[stream.encode()]][:acknowledge]
    if ids:
        deployment.client.xack(stream, group, *ids)


def test_trim__keeps_what_a_group_has_not_acknowledged(any_server: Server, deploy: Deploy) -> None:
    """Beyond max_len everything goes that all groups are done with, and nothing else."""
    deployment = deploy(any_server, gateway__max_len=10)
    deployment.client.xgroup_create(deployment.keys.stream, "quick", id="0", mkstream=True)
    deployment.client.xgroup_create(deployment.keys.stream, "slow", id="0")
    harness = deployment.worker_harness()
    ids = publish(deployment, harness, 19)
    read(deployment, "quick", 19, 19)
    read(deployment, "slow", 12, 7)
    harness.tidy()
    assert stream_ids(deployment) == ids[7:]
    # With nothing pending it is what it was last given that counts, and then the length.
    deployment.client.xack(deployment.keys.stream, "slow", *ids[7:12])
    harness.tidy()
    assert stream_ids(deployment) == ids[9:]


def test_trim__without_groups_keeps_the_newest(any_server: Server, deploy: Deploy) -> None:
    """A stream that no group reads is cut to its length."""
    deployment = deploy(any_server, gateway__max_len=10)
    harness = deployment.worker_harness()
    ids = publish(deployment, harness, 19)
    harness.tidy()
    assert stream_ids(deployment) == ids[-10:]


@pytest.mark.parametrize("policy", ["always", "none"])
def test_trim__policy_that_ignores_groups(any_server: Server, deploy: Deploy, policy: str) -> None:
    """always drops the oldest whoever waits for them, in whole nodes; none drops nothing."""
    deployment = deploy(any_server, gateway__max_len=10, gateway__trim=policy)
    deployment.client.xgroup_create(deployment.keys.stream, "gateway", id="0", mkstream=True)
    harness = deployment.worker_harness()
    ids = publish(deployment, harness, 350)
    harness.tidy()
    left = stream_ids(deployment)
    if policy == "none":
        assert left == ids
        lost = 0
    else:
        assert left == ids[-len(left) :]
        assert 10 <= len(left) <= 150
        lost = len(ids) - len(left)
    report = read_streams(deployment.connected)[0].groups["gateway"]
    assert (report["lag"], report["lost"]) == (len(left), lost)


def test_claiming__holds_at_twice_the_length(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """A stream that nobody reads stops the claiming before it grows on; reading it frees it."""
    deployment = deploy(any_server, gateway__max_len=5, worker__poll_interval_ms=3_600_000)
    deployment.client.xgroup_create(deployment.keys.stream, "gateway", id="0", mkstream=True)
    harness = deployment.worker_harness()
    assert len(publish(deployment, harness, 10)) == 10
    deployment.notify("waits")
    with harness.running():
        wait_until(lambda: told(lines, "claiming suspended"), "it holds")
        assert len(deployment.due()) == 1
        (stream,) = read_streams(deployment.connected)
        assert (stream.length, stream.max_len, stream.holding) == (10, 5, True)
        read(deployment, "gateway", 10, 10)
        # Long before the poll interval: whoever trims wakes who waits for it.
        wait_until(lambda: not deployment.due(), "it goes on")
    assert len(told(lines, "claiming suspended")) == 1
    assert len(told(lines, "claiming resumed")) == 1


@pytest.mark.parametrize("policy", ["always", "none"])
def test_claiming__holds_for_no_other_policy(
    any_server: Server, deploy: Deploy, policy: str
) -> None:
    """Where readers do not count, nothing waits for them."""
    deployment = deploy(any_server, gateway__max_len=5, gateway__trim=policy)
    deployment.client.xgroup_create(deployment.keys.stream, "gateway", id="0", mkstream=True)
    harness = deployment.worker_harness()
    publish(deployment, harness, 12)
    deployment.notify("more")
    assert harness.step() == 1


def test_idle_group__no_longer_holds(any_server: Server, deploy: Deploy, lines: Lines) -> None:
    """A group whose consumers were not seen for long is passed by; that is told and counted."""
    deployment = deploy(any_server, gateway__max_len=10)
    deployment.client.xgroup_create(deployment.keys.stream, "left", id="0", mkstream=True)
    harness = deployment.worker_harness()
    ids = publish(deployment, harness, 19)
    read(deployment, "left", 1, 1)
    harness.tidy()
    assert stream_ids(deployment)[-18:] == ids[-18:]
    seen = deployment.now()
    wait_until(lambda: deployment.now() > seen + 1, "it was not seen for a moment")
    # From here on that is long.
    impatient = deployment.settings_at(any_server.url, gateway__group_idle_ms=1)
    harness.shards[0].state.publisher.settings = impatient
    harness.tidy()
    assert stream_ids(deployment) == ids[-10:]
    publish(deployment, harness, 10)
    harness.tidy()
    (line,) = told(lines, "idle group no longer blocks trimming")
    assert line["group"] == "left"
    # Of 19 entries it had read one, and ten were left; then ten more went.
    assert read_streams(deployment.connected)[0].groups["left"]["lost"] == 18
    (loss,) = told(lines, "group lost entries to trimming")
    assert (loss["group"], loss["entries"]) == ("left", 8)


def test_trim__comes_at_once_where_a_batch_made_the_stream_too_long(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settle that sees the stream over its length has it trimmed, not only at the next pass."""
    for pause in ("_EVERY_S", "_QUIET_S"):
        monkeypatch.setattr(janitor, pause, 3600.0)
    deployment = deploy(server, gateway__max_len=10)
    with deployment.worker_harness().running():
        wait_until(
            lambda: deployment.client.exists(deployment.keys.janitor), "the janitor has begun"
        )
        deployment.notify(*(f"u{n}" for n in range(19)))
        wait_until(lambda: not deployment.due(), "all are published")
        wait_until(lambda: len(stream_ids(deployment)) == 10, "it is trimmed")


def told(lines: Lines, event: str) -> list[dict[str, Any]]:
    """Return the lines of an event."""
    return [line for line in lines() if line["event"] == event]
