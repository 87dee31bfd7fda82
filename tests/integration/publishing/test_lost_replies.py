"""Scripts that ran although nobody heard so: asked again, nothing happens twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.faults import RedisFault
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.proxy import Loss, Proxy, proxied
from tests.support.roads import Road, both_roads, leased_road
from tests.support.servers import Server
from tests.support.wait import wait_until


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(any_server.socket) as made:
        yield made


@pytest.fixture
def bundled(server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the bundled server, for what takes as long as a call may."""
    with proxied(server.socket) as made:
        yield made


@leased_road
def test_claim__whose_reply_was_lost_gives_the_same_again(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A worker that did not hear what it took asks again and gets it: nothing waits for a lease."""
    _lose_a_claim(deploy(any_server), proxy, "reset")


@pytest.mark.usefixtures("usual_timeout")
@leased_road
def test_claim__that_was_never_answered_gives_the_same_again(
    server: Server, deploy: Deploy, bundled: Proxy
) -> None:
    """So does one whose connection stays open, and silent."""
    _lose_a_claim(deploy(server), bundled, "silence")


def _lose_a_claim(deployment: DeploymentFixture, proxy: Proxy, how: Loss) -> None:
    deployment.load_scripts()
    deployment.notify("u1", "u2", "u3")
    with deployment.worker_harness(url=proxy.url).running():
        wait_until(lambda: len(deployment.entries()) == 3, "the first are published")
        proxy.lose_reply("route_claim", how)
        deployment.notify("u4", "u5", "u6")
        wait_until(lambda: len(deployment.entries()) == 6, "the next are published")
    assert proxy.lost == 1
    assert deployment.totals() == {"accepted": 6, "published": 6}


@both_roads
def test_publish__whose_reply_was_lost_published_once(
    any_server: Server, deploy: Deploy, proxy: Proxy, road: Road
) -> None:
    """A script that ran is not run again: each event stands once in the stream."""
    _lose_a_publish(deploy(any_server), proxy, "reset", road)


@pytest.mark.usefixtures("usual_timeout")
@both_roads
def test_publish__that_was_never_answered_published_once(
    server: Server, deploy: Deploy, bundled: Proxy, road: Road
) -> None:
    """Nor is one whose connection stays open, and silent."""
    _lose_a_publish(deploy(server), bundled, "silence", road)


def _lose_a_publish(deployment: DeploymentFixture, proxy: Proxy, how: Loss, road: Road) -> None:
    deployment.load_scripts()
    with deployment.worker_harness(url=proxy.url).running():
        proxy.lose_reply("route_publish" if road == "script" else "route_settle", how)
        deployment.notify("u1", "u2", "u3")
        wait_until(lambda: proxy.lost and not deployment.due(), "they are published")
        deployment.notify("u4")
        wait_until(lambda: len(deployment.entries()) == 4, "the worker goes on")
    assert deployment.totals() == {"accepted": 4, "published": 4}


def test_settle__that_never_ran_is_made_good(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """Routes whose settle was lost on its way are published when their lease has lapsed."""
    deployment = deploy(any_server, worker__lease_ttl_ms=200)
    deployment.load_scripts()
    cut = iter((True,))

    def encode(notification: Notification, _: Route) -> bytes:
        if next(cut, False):
            proxy.reset_all()
        return notification.packed

    with deployment.worker_harness(encode, url=proxy.url).running():
        deployment.notify("u1", "u2")
        wait_until(lambda: len(deployment.entries()) == 2, "they are published")
    assert all(route.attempts == 0 for route in deployment.routes().values())


@pytest.mark.usefixtures("usual_timeout")
@leased_road
def test_claim__that_timed_out_takes_half_until_one_succeeds(
    server: Server, deploy: Deploy, bundled: Proxy
) -> None:
    """After a claim without an answer the next new ones are smaller, then as large as before."""
    deployment = deploy(server, worker__batch_size=8, worker__slots=1)
    deployment.load_scripts()
    harness = deployment.worker_harness(url=bundled.url)
    claimer = harness.shards[0].worker._claimer
    deployment.notify(*(f"u{n}" for n in range(24)))
    assert harness.step() == 8
    bundled.lose_reply("route_claim", "silence")
    with pytest.raises(RedisFault) as error:
        harness.step()
    assert error.value.fault.code == "timeout"
    harness.run(claimer.on_error(error.value))
    assert claimer._limits.members == 4
    # Slot 1 has nothing unanswered, so its claim is a new one; slot 0 gets back what it was given.
    assert harness.step(slot=1) == 4
    assert claimer._limits.members == 8
    assert harness.step() == 8
    assert harness.step() == 4
    assert deployment.total("abandoned") == 0


@leased_road
def test_claim__that_took_half_its_lease_to_arrive_is_given_back(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """Half a lease counts from the claim: of what arrives later one route at most is encoded."""
    deployment = deploy(any_server, worker__lease_ttl_ms=1000)
    deployment.load_scripts()
    deployment.notify(*(f"u{n}" for n in range(10)))
    proxy.delay_reply("route_claim", 0.6)
    done = deployment.worker_harness(url=proxy.url).step()
    assert done <= 1
    assert (len(deployment.entries()), len(deployment.due()), deployment.leases()) == (
        done,
        10 - done,
        {},
    )


@both_roads
def test_scripts__that_the_server_forgets_are_sent_again(
    any_server: Server, deploy: Deploy
) -> None:
    """SCRIPT FLUSH at any time costs a round trip and nothing else."""
    deployment = deploy(any_server)
    with deployment.worker_harness().running():
        for n in range(30):
            deployment.client.script_flush()
            deployment.notify(f"u{n}")
            wait_until(lambda: not deployment.due(), "it is published")
    assert deployment.totals() == {"accepted": 30, "published": 30}


def test_accept__whose_reply_was_reset_is_sent_again_by_itself(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A short fault does not reach the producer, nor is its own repeat taken for a duplicate."""
    deployment = deploy(any_server)
    deployment.load_scripts()
    with Notifier.from_url(proxy.url) as notifier:
        proxy.lose_reply("intent_accept", "reset")
        receipt = notifier.accept(PLAIN)
        proxy.lose_reply("intent_accept", "reset")
        (other,) = notifier.accept_many([PLAIN])
    assert proxy.lost == 2
    assert (receipt.status, other.status) == ("accepted", "accepted")
    ids = {receipt.notification_id, other.notification_id}
    assert {member.partition("/")[0] for member in deployment.routes()} == ids


@pytest.mark.usefixtures("usual_timeout")
def test_accept__without_an_answer_is_repeated_with_its_id(
    server: Server, deploy: Deploy, bundled: Proxy
) -> None:
    """A producer that did not hear repeats with the id it is given: there is one notification."""
    deployment = deploy(server)
    deployment.load_scripts()
    bundled.lose_reply("intent_accept", "silence")
    with Notifier.from_url(bundled.url) as notifier:
        with pytest.raises(Unavailable) as error:
            notifier.accept(PLAIN)
        receipt = notifier.accept(PLAIN, notification_id=error.value.notification_id)
    assert (receipt.status, receipt.notification_id) == ("duplicate", error.value.notification_id)
    assert [member.partition("/")[0] for member in deployment.routes()] == [receipt.notification_id]


def test_keyed_accept__carries_its_id_when_redis_is_away(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """Also with an idempotency key the error says under which id to look and to repeat."""
    deploy(any_server)
    with Notifier.from_url(proxy.url) as notifier:
        notifier.cancel("0" * 32)
        with proxy.down(), pytest.raises(Unavailable) as error:
            notifier.accept({**PLAIN, "idempotency_key": "k1"})
        receipt = notifier.accept({**PLAIN, "idempotency_key": "k1"})
    assert error.value.notification_id == receipt.notification_id


@both_roads
def test_worker__lives_through_resets(any_server: Server, deploy: Deploy, proxy: Proxy) -> None:
    """Connections reset under load, again and again: nothing is lost, doubled or charged."""
    # No route is buried, however often its lease lapses on a busy machine.
    deployment = deploy(
        any_server, worker__lease_ttl_ms=200, worker__batch_size=10, worker__max_abandoned=1000
    )
    with deployment.worker_harness(url=proxy.url).running():
        for n in range(30):
            deployment.notify(*(f"u{n}-{k}" for k in range(20)))
            proxy.reset_all()
        wait_until(lambda: not deployment.due(), "all are published")
    assert deployment.total("published") == 600
    assert all(route.attempts == 0 for route in deployment.routes().values())
