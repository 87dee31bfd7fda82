"""Redis or its stream takes nothing: nobody pays for it, it is told once, and work resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.embedded.binaries import ServerBinary
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.faults import RedisFault
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.proxy import Proxy, proxied
from tests.support.refusing import Refusal, misconfigured, out_of_memory, read_only
from tests.support.roads import both_roads
from tests.support.servers import Server, each_server, running
from tests.support.telemetry import Lines
from tests.support.wait import HANG_S, wait_until

REFUSALS = [(out_of_memory, "OOM"), (misconfigured, "MISCONF"), (read_only, "READONLY")]


@pytest.fixture(params=each_server())
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server of the test's own, that keeps what it has taken."""
    binary: ServerBinary = request.param
    with running(binary, appendonly="yes") as server:
        yield server


def told(lines: Lines, event: str) -> list[str]:
    """Return the codes of an event's lines."""
    return [line.get("code", "") for line in lines() if line["event"] == event]


@both_roads
def test_server__killed_and_restarted_costs_nothing(
    own_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Routes in hand and routes waiting are published after the restart, none lost or doubled."""
    # No route is buried, however often its lease lapses on a busy machine.
    deployment = deploy(
        own_server, worker__lease_ttl_ms=300, worker__batch_size=20, worker__max_abandoned=1000
    )
    for n in range(10):
        deployment.notify(*(f"u{n}-{k}" for k in range(20)))
    with deployment.worker_harness().running():
        wait_until(deployment.entries, "it has begun")
        own_server.kill()
        wait_until(lambda: told(lines, "redis unavailable"), "the outage is told")
        own_server.start()
        wait_until(lambda: told(lines, "redis available again"), "the end is told")
        deployment.notify("after")
        wait_until(lambda: not deployment.due(), "all are published")
    assert deployment.total("published") == 201
    assert all(route.attempts == 0 for route in deployment.routes().values())


@pytest.mark.parametrize(("refusal", "code"), REFUSALS)
@both_roads
def test_refusing_server__is_told_once_and_charged_to_nobody(
    own_server: Server, deploy: Deploy, lines: Lines, refusal: Refusal, code: str
) -> None:
    """While Redis refuses writes nothing is spent; once it does, what is due is published."""
    deployment = deploy(own_server, worker__lease_ttl_ms=300, worker__poll_interval_ms=100)
    with deployment.worker_harness().running():
        deployment.notify("before")
        wait_until(deployment.entries, "it works")
        due = deployment.now() + 300
        deployment.notify("u1", "u2", due_at=due)
        with refusal(own_server):
            before = deployment.event_ids()
            wait_until(lambda: told(lines, "redis unavailable"), "the outage is told")
            # Long enough for a line per try to show.
            wait_until(lambda: deployment.now() > due + 1000, "the outage goes on")
            assert deployment.event_ids() == before
        wait_until(lambda: not deployment.due(), "all are published")
        wait_until(lambda: told(lines, "redis available again"), "the end is told")
    codes = told(lines, "redis unavailable")
    assert code in codes
    # A server that becomes a replica says so to those who listen, too; a busy one answers late.
    assert set(codes) <= {code, "UNBLOCKED", "timeout"}
    assert len(codes) == len(set(codes))
    assert len(told(lines, "redis available again")) == 1
    assert all(route.attempts == 0 for route in deployment.routes().values())


@pytest.mark.parametrize(("refusal", "code"), REFUSALS)
def test_settle__refused_by_the_server_writes_nothing(
    own_server: Server, deploy: Deploy, refusal: Refusal, code: str
) -> None:
    """A server that stops taking writes between claim and settle is left exactly as it was.

    Once it takes them again the routes are due at once, and none of them passes for abandoned.
    """
    deployment = deploy(own_server, worker__channels=["push", "email"])
    made = deployment.notify("u1", "u2", "bad", channels=["push"])
    outage = refusal(own_server)

    def encode(notification: Notification, route: Route) -> bytes:
        if not begun:
            outage.__enter__()
            begun.append(True)
        return notification.packed

    begun: list[bool] = []
    harness = deployment.worker_harness(encode)
    with pytest.raises(RedisFault) as error:
        harness.step()
    assert error.value.fault.code == code
    assert deployment.entries() == []
    assert {str(route.status) for route in deployment.routes().values()} == {"pending"}
    assert len(deployment.leases()) == 3
    outage.__exit__(None, None, None)
    assert harness.step() == 3
    assert deployment.route(member_of(made, "u1")).attempts == 0
    assert deployment.totals() == {"accepted": 3, "published": 3}


@pytest.mark.usefixtures("usual_timeout")
@both_roads
def test_paused_server__is_waited_for(server: Server, deploy: Deploy, lines: Lines) -> None:
    """A server that answers nothing for longer than a call may take costs nothing but time."""
    deployment = deploy(server, worker__lease_ttl_ms=500)
    with deployment.worker_harness().running():
        deployment.notify("u0")
        wait_until(deployment.entries, "it works")
        deployment.client.client_pause(1000 * int(HANG_S), all=False)
        try:
            wait_until(lambda: told(lines, "redis unavailable"), "the outage is told")
        finally:
            deployment.client.client_unpause()
        wait_until(lambda: told(lines, "redis available again"), "the end is told")
        deployment.notify("u1")
        wait_until(lambda: len(deployment.entries()) == 2, "it goes on")
    assert told(lines, "redis unavailable") == ["timeout"]


class _Watched(OutageBackoff):
    """Draws pauses as ever, and notes when, how many connections there were, and how long."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy
        self.drawn: list[tuple[float, int, int]] = []

    def next(self) -> int:
        now, pause_ms = time.monotonic(), super().next()
        self.drawn.append((now, self._proxy.connections, pause_ms))
        return pause_ms


def test_outage__is_no_storm_of_connections(server: Server, deploy: Deploy, lines: Lines) -> None:
    """While Redis refuses connections each try costs a pause, which is kept; it is told once.

    A pause is only ever longer on a busy machine, so the bounds hold at any load.
    """
    deployment = deploy(server)
    with proxied(server.socket) as proxy:
        harness = deployment.worker_harness(url=proxy.url)
        pauses = harness.shards[0].state.health._retry._backoff = _Watched(proxy)
        with harness.running():
            wait_until(lambda: proxy.connections, "it has connected")
            with proxy.down():
                # What was in flight is lost at once: a call of each slot, and the listening one.
                first = deployment.settings.worker.slots + 1
                wait_until(lambda: len(pauses.drawn) >= first + 5, "it goes on trying")
                drawn = pauses.drawn[first : first + 5]
            made = deployment.notify("u1")
            wait_until(deployment.entries, "it is published")
    for (at, _, pause_ms), (then, _, _) in pairwise(drawn):
        assert then >= at + pause_ms / 1000
    # The janitor tries once at most, before it knows that the worker waits.
    assert drawn[-1][1] - drawn[0][1] <= len(drawn)
    assert told(lines, "redis unavailable") == ["connection"]
    assert told(lines, "janitor interrupted") in ([], ["connection"])
    assert deployment.event_ids() == [member_of(made, "u1")]


def _wrong_type(deployment: DeploymentFixture) -> None:
    deployment.client.set(deployment.keys.stream, "x")


def _exhausted(deployment: DeploymentFixture) -> None:
    last = f"{2**64 - 1}-{2**64 - 1}"
    deployment.client.xadd(deployment.keys.stream, {"x": "x"}, id=last)


@pytest.mark.parametrize("spoil", [_wrong_type, _exhausted])
@both_roads
def test_refusing_stream__holds_the_shard(
    any_server: Server, deploy: Deploy, lines: Lines, spoil: Callable[[DeploymentFixture], None]
) -> None:
    """A stream that takes nothing costs no attempt: the shard says why, waits, and goes on."""
    deployment = deploy(any_server, worker__poll_interval_ms=50)
    spoil(deployment)
    deployment.notify("u1", "u2")
    harness = deployment.worker_harness()
    with harness.running():
        health = harness.shards[0].state.health
        wait_until(lambda: bool(health.reason), "it holds")
        since = time.monotonic()
        wait_until(lambda: time.monotonic() - since > 1, "the hold goes on")
        assert health.reason.startswith("stream refused: ")
        assert {(r.status, r.attempts) for r in deployment.routes().values()} == {
            (Status.PENDING, 0)
        }
        deployment.client.delete(deployment.keys.stream)
        wait_until(lambda: not deployment.due(), "all are published")
    assert len(told(lines, "stream writes refused")) == 1
    assert len(told(lines, "stream writes accepted again")) == 1
    assert all(route.attempts == 0 for route in deployment.routes().values())
    assert deployment.total("abandoned") == 0


@both_roads
def test_refusing_stream__spends_attempts_where_told_to(any_server: Server, deploy: Deploy) -> None:
    """With on_refused = "retry" a refused event is a failed attempt, and the last one kills."""
    deployment = deploy(
        any_server,
        gateway__on_refused="retry",
        retry__max_attempts=2,
        retry__backoff_min_ms=1,
        retry__jitter="none",
    )
    _wrong_type(deployment)
    member = member_of(deployment.notify("u1"), "u1")
    harness = deployment.worker_harness()
    harness.step()
    route = deployment.route(member)
    assert (route.status, route.attempts) == (Status.FAILED, 1)
    assert route.failure is not None
    assert route.failure.failure_class == "gateway_stream_publish_failed"
    assert "WRONGTYPE" in route.failure.message
    wait_until(lambda: deployment.now() >= deployment.due()[member], "it is due")
    harness.step()
    assert deployment.route(member).status is Status.DEAD_LETTER
    deployment.client.delete(deployment.keys.stream)


@both_roads
def test_refusing_stream__of_one_shard_does_not_hold_another(
    any_server: Server, deploy: Deploy
) -> None:
    """One shard's trouble is its own: the other shards publish as ever."""
    deployment = deploy(any_server, worker__shards=2, worker__poll_interval_ms=50)
    deployment.client.set(deployment.key_space.keys(0).stream, "x")
    deployment.whole = False
    made = [deployment.notify("u1") for _ in range(20)]
    theirs = [one for one in made if deployment.key_space.keys_for(one).shard == 1]
    with deployment.worker_harness().running():
        stream = deployment.key_space.keys(1).stream
        wait_until(
            lambda: deployment.client.xlen(stream) == len(theirs), "the other shard publishes"
        )
