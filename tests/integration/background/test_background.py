"""The background notifier: callers never wait for Redis, and every intent is one notification."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from galaxy_notify import BackgroundNotifier, InvalidIntent
from galaxy_notify.embedded.binaries import ServerBinary
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.settings import settings_from
from tests.support.background import NOWHERE, background, drained, enqueue, events
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN, intent
from tests.support.proxy import Proxy, proxied
from tests.support.refusing import out_of_memory
from tests.support.servers import Server, each_server, running
from tests.support.telemetry import Lines, Metrics
from tests.support.wait import wait_until

MANY = [f"u{n}" for n in range(500)]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(server.socket) as made:
        yield made


@pytest.fixture(params=each_server())
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server of the test's own, that keeps what it has taken."""
    binary: ServerBinary = request.param
    with running(binary, appendonly="yes") as server:
        yield server


def test_enqueue__becomes_a_notification(any_server: Server, deploy: Deploy) -> None:
    """Each is accepted once under the id that the caller was given."""
    deployment = deploy(any_server, worker__shards=3)
    with background(any_server.url) as notifier:
        ids = enqueue(notifier, *MANY)
        drained(notifier)
        stats = notifier.stats()
    assert (stats.enqueued, stats.accepted) == (500, 500)
    assert {member.partition("/")[0] for member in deployment.routes()} == set(ids)
    assert deployment.total("accepted") == 500


def test_enqueue__counts_what_redis_answers(server: Server, deploy: Deploy) -> None:
    """Accepted, duplicate and refused are told apart, and a callback hears of the refused."""
    deploy(server)
    told: list[tuple[Any, Receipt]] = []
    with background(server.url, on_refused=lambda *one: told.append(one)) as notifier:
        for fields in ({}, {}, {"title": "other"}):
            assert notifier.enqueue({**PLAIN, **fields, "idempotency_key": "k"}) == id_for_key(
                "lobby", "k"
            )
        notifier.enqueue({**PLAIN, "channels": ["psuh"]})
        notifier.enqueue({**PLAIN, "body": "x" * 300_000})
        drained(notifier)
        stats = notifier.stats()
    assert (stats.accepted, stats.duplicates) == (1, 1)
    assert stats.refused == {"conflict": 1, "invalid": 1, "too_large": 1}
    assert [receipt.error and receipt.error.field for _, receipt in told] == [
        "idempotency_key",
        "channels[0]",
        "body",
    ]
    assert told[0][0]["title"] == "other"
    assert told[0][1].notification_id == id_for_key("lobby", "k")


def test_callback__that_raises_stops_nobody(server: Server, deploy: Deploy, lines: Lines) -> None:
    """What a callback raises is logged, and the next intents are accepted."""
    deploy(server)

    def broken(_fields: Any, _receipt: Receipt) -> None:
        raise ValueError("mine")

    with background(server.url, on_refused=broken) as notifier:
        notifier.enqueue({**PLAIN, "channels": ["psuh"]})
        enqueue(notifier, "u1")
        drained(notifier)
        assert notifier.stats().accepted == 1
    assert [one["callback"] for one in lines() if one["event"] == "callback failed"] == [
        "on_refused"
    ]


def test_enqueue__refuses_what_is_wrong_at_once() -> None:
    """The programmer is told where the mistake is, and nothing is counted."""
    with background(NOWHERE) as notifier:
        with pytest.raises(InvalidIntent, match="recipients"):
            notifier.enqueue({**PLAIN, "recipients": []})
        assert notifier.stats().enqueued == 0


def test_enqueue__takes_the_intent_as_it_is_now(
    server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """What the caller does to its mapping afterwards does not matter."""
    deployment = deploy(server)
    as_it_was = {**PLAIN, "recipients": ["u1"], "data": {"list": [1]}, "idempotency_key": "k"}
    with background(proxy.url) as notifier:
        with proxy.down():
            data = {"list": [1]}
            fields = as_it_was | {"data": data}
            notifier.enqueue(fields)
            data["list"].append(2)
            fields["recipients"] = ["u2"]
        drained(notifier)
    assert deployment.notifier.accept(as_it_was).status == "duplicate"


def test_redis__killed_and_restarted_costs_nothing(
    own_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Callers go on during the outage; afterwards each intent is one notification."""
    deployment = deploy(own_server)
    with background(own_server.url, batch=20) as notifier:
        first = enqueue(notifier, *MANY)
        wait_until(lambda: notifier.stats().accepted, "it has begun")
        own_server.kill()
        # All of the first may be there already: of an outage hears who has something to send.
        second = enqueue(notifier, *MANY)
        wait_until(lambda: "redis unavailable" in events(lines), "the outage is told")
        own_server.start()
        drained(notifier)
        assert notifier.stats().accepted == 1000
    assert {member.partition("/")[0] for member in deployment.routes()} == {*first, *second}
    assert deployment.total("accepted") == 1000
    outages = [line for line in lines() if line["event"] == "redis unavailable"]
    assert len(outages) == 1, outages


@pytest.mark.usefixtures("usual_timeout")
@pytest.mark.parametrize("how", ["reset", "silence"])
def test_reply__that_is_lost_makes_no_second_notification(
    server: Server, deploy: Deploy, proxy: Proxy, how: Any
) -> None:
    """A batch whose answer was lost is sent again under the same ids, and counted once."""
    deployment = deploy(server)
    deployment.load_scripts()
    proxy.lose_reply("intent_accept", how)
    with background(proxy.url) as notifier:
        enqueue(notifier, *MANY[:50])
        drained(notifier)
        assert (notifier.stats().accepted, notifier.stats().duplicates) == (50, 0)
    assert proxy.lost == 1
    assert deployment.total("accepted") == 50


def test_reply__that_is_lost_is_no_second_one_to_the_rules(
    server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """The second sending is not taken for a second notification by the rules, only the next is."""
    deployment = deploy(server, rules__cooldown_ms=60_000)
    deployment.load_scripts()
    proxy.lose_reply("intent_accept")
    with background(proxy.url) as notifier:
        (first,) = enqueue(notifier, "u1")
        drained(notifier)
        (second,) = enqueue(notifier, "u1")
        drained(notifier)
        assert (notifier.stats().accepted, notifier.stats().duplicates) == (2, 0)
    assert proxy.lost == 1
    states = {
        member.partition("/")[0]: str(route.status) for member, route in deployment.routes().items()
    }
    assert states == {first: "pending", second: "skipped"}


def test_refusing_server__keeps_nobody_from_enqueueing(any_server: Server, deploy: Deploy) -> None:
    """What Redis refuses for now waits, and is accepted when it takes writes again."""
    deployment = deploy(any_server)
    with background(any_server.url) as notifier:
        with out_of_memory(any_server):
            enqueue(notifier, *MANY[:50])
            wait_until(lambda: notifier.stats().in_flight, "it is tried")
            assert notifier.stats().accepted == 0
        drained(notifier)
        assert notifier.stats().accepted == 50
    assert deployment.total("accepted") == 50


def test_enqueue__from_many_threads_loses_nothing(server: Server, deploy: Deploy) -> None:
    """Eight threads hand in at once: each intent is accepted, or counted as dropped."""
    deployment = deploy(server)
    with background(server.url, capacity=300) as notifier:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: enqueue(notifier, *MANY), range(8)))
        drained(notifier)
        stats = notifier.stats()
    taken = [one for ids in made for one in ids if one]
    assert len(set(taken)) == len(taken) == stats.accepted == deployment.total("accepted")
    assert stats.dropped.get("queue_full", 0) == 4000 - len(taken)


def test_deployment__that_cannot_be_joined_is_waited_for(
    server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Settings that do not fit are told, and cost no intent once they do."""
    deployment = deploy(server, worker__shards=2)
    other = deployment.settings_at(server.url, worker__shards=3)
    notifier = BackgroundNotifier(other)
    enqueue(notifier, "u1")
    wait_until(lambda: "redis unavailable" in events(lines), "it is told")
    (told,) = (line for line in lines() if line["event"] == "redis unavailable")
    assert told["code"] == "configuration"
    assert len(notifier.close(0).unknown) == 1


def test_telemetry__is_told_of_drops_and_depth(server: Server, deploy: Deploy) -> None:
    """Drops are counted by reason, answers by status, and the depth is shown."""
    deployment = deploy(server)
    metrics = Metrics()
    notifier = BackgroundNotifier(deployment.settings, telemetry=metrics.recorder)
    enqueue(notifier, "u1", "u2")
    notifier.enqueue({**PLAIN, "channels": ["psuh"]})
    drained(notifier)
    notifier.close()
    assert metrics.values("notifications.accepted") == {("accepted",): 2}
    assert metrics.values("notifications.refused") == {("invalid",): 1}
    assert metrics.values("background.waiting") == {
        ("queued",): 0,
        ("spilled",): 0,
        ("in flight",): 0,
    }
    lost = BackgroundNotifier(
        settings_from({"redis": {"url": NOWHERE}}), telemetry=metrics.recorder
    )
    enqueue(lost, "u1")
    lost.close(0)
    assert metrics.values("background.dropped") == {("closed",): 1}
    assert metrics.recorder.shutdown()


def test_intent__may_be_one_already(server: Server, deploy: Deploy) -> None:
    """An `Intent` is taken as well, with all its fields."""
    deployment = deploy(server)
    made = intent(
        recipients=["u1", "u2"],
        severity="critical",
        title="T",
        data={"deep": [1, 2.5, None, {"x": "ü"}]},
        idempotency_key="k",
        due_at=deployment.now() + 3_600_000,
        expires_at=deployment.now() + 7_200_000,
        max_attempts=3,
        request_id="r",
    )
    with background(server.url) as notifier:
        notifier.enqueue(made)
        drained(notifier)
        assert notifier.stats().accepted == 1
    assert deployment.notifier.accept(made).status == "duplicate"


def test_intent__that_expires_while_it_waits_is_accepted(
    server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """What was right when it was handed in is no mistake of its producer: it is expired."""
    deployment = deploy(server)
    with background(proxy.url) as notifier:
        with proxy.down():
            # Until it is handed in it has not expired, however slow this machine is.
            for left_ms in (300, 3_000, 30_000):
                expires = deployment.now() + left_ms
                with suppress(InvalidIntent):
                    enqueue(notifier, "u1", expires_at=expires)
                    break
            wait_until(lambda: deployment.now() > expires, "it has expired")
        drained(notifier)
        assert notifier.stats().accepted == 1
    with deployment.worker_harness().running():
        wait_until(lambda: deployment.statuses() == {"u1": "expired"}, "it is shown as expired")
