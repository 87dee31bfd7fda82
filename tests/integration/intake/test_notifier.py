"""The notifier: accepted once, and what a producer is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.intent import Intent
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.intents import PLAIN, intent
from tests.support.proxy import Proxy, proxied
from tests.support.refusing import out_of_memory
from tests.support.servers import Server


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(any_server.socket) as made:
        yield made


def test_accept__twice_with_a_key_is_one_notification(any_server: Server, deploy: Deploy) -> None:
    """The same content under the same key is a duplicate, in any order of its recipients."""
    deployment = deploy(any_server)
    keyed = {**PLAIN, "idempotency_key": "turn-12", "recipients": ["u1", "u2"]}
    first = deployment.notifier.accept(keyed)
    again = deployment.notifier.accept(
        {**keyed, "recipients": ["u2", "u1", "u2"], "request_id": "r-2"}
    )
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert first.notification_id == again.notification_id == id_for_key("lobby", "turn-12")
    assert (again.routes, again.parts) == (2, 1)
    assert deployment.statuses() == {"u1": "pending", "u2": "pending"}
    assert deployment.total("accepted") == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "game.over"},
        {"recipients": ["u2"]},
        {"channels": ["email"]},
        {"severity": "critical"},
        {"title": "T"},
        {"body": "B"},
        {"data": {"turn": 13}},
        {"max_attempts": 3},
        {"expires_at": 2_000_000_000_000},
    ],
)
def test_accept__of_other_content_under_a_key_is_a_conflict(
    any_server: Server, deploy: Deploy, changed: dict[str, Any]
) -> None:
    """A key that stands for other content is refused with the field, and nothing changes."""
    deployment = deploy(any_server, worker__channels=["push", "email"])
    keyed = {**PLAIN, "idempotency_key": "k"}
    deployment.notifier.accept(keyed)
    refused = deployment.notifier.accept({**keyed, **changed})
    assert (refused.status, refused.routes) == ("refused", 0)
    assert refused.error is not None
    assert (refused.error.code, refused.error.field) == ("conflict", "idempotency_key")
    assert len(deployment.routes()) == 1


def test_accept__of_the_same_key_from_another_producer_is_another(
    any_server: Server, deploy: Deploy
) -> None:
    """Keys belong to their producer."""
    deployment = deploy(any_server)
    for producer in ("lobby", "arena"):
        keyed = {**PLAIN, "producer": producer, "idempotency_key": "k"}
        assert deployment.notifier.accept(keyed).status == "accepted"
    assert len(deployment.routes()) == 2


def test_accept__makes_a_route_for_each_recipient_and_channel(
    any_server: Server, deploy: Deploy
) -> None:
    """Recipients times channels, each once."""
    deployment = deploy(any_server, worker__channels=["push", "email"])
    made = deployment.notify("u1", "u2", "u1", channels=["email", "push", "email"])
    assert set(deployment.due("push")) == {member_of(made, "u1"), member_of(made, "u2")}
    assert set(deployment.due("email")) == {
        member_of(made, "u1", "email"),
        member_of(made, "u2", "email"),
    }


def test_accept_many__refuses_only_what_is_wrong(any_server: Server, deploy: Deploy) -> None:
    """Each intent has its receipt, in order; the wrong ones hold up nobody."""
    deployment = deploy(any_server)
    keyed = {**PLAIN, "idempotency_key": "k"}
    receipts = deployment.notifier.accept_many(
        [
            PLAIN,
            {**PLAIN, "recipients": []},
            Intent(**PLAIN),
            {**PLAIN, "channels": ["psuh"]},
            keyed,
            keyed,
            {**keyed, "title": "other"},
        ]
    )
    told = [(one.status, one.error and (one.error.code, one.error.field)) for one in receipts]
    assert told == [
        ("accepted", None),
        ("refused", ("invalid", "recipients")),
        ("accepted", None),
        ("refused", ("invalid", "channels[0]")),
        ("accepted", None),
        ("duplicate", None),
        ("refused", ("conflict", "idempotency_key")),
    ]
    assert len(deployment.routes()) == 3


def test_accept_many__takes_thousands_in_few_round_trips(
    any_server: Server, deploy: Deploy
) -> None:
    """Intents are sent together, over all shards."""
    deployment = deploy(any_server, worker__shards=3)
    deployment.load_scripts()
    before = commands(deployment)
    receipts = deployment.notifier.accept_many(intent(recipients=[f"u{n}"]) for n in range(2000))
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert len({receipt.notification_id for receipt in receipts}) == 2000
    assert commands(deployment) - before < 30


@pytest.mark.usefixtures("usual_timeout")
def test_accept_many__says_which_are_unknown(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """When Redis goes away, what was answered has its receipt and the rest is None."""
    deployment = deploy(any_server)
    deployment.load_scripts()
    intents = [intent(recipients=[f"u{n}"], idempotency_key=str(n)) for n in range(1600)]

    def stream() -> Iterator[Intent]:
        for number, one in enumerate(intents):
            if number == 1200:  # the second chunk of a thousand is being collected
                proxy.lose_reply("intent_accept", "silence")
            yield one

    with Notifier.from_url(proxy.url) as notifier:
        with pytest.raises(Unavailable) as error:
            notifier.accept_many(stream())
        known = error.value.receipts
        assert [one.status for one in known[:1000]] == ["accepted"] * 1000
        assert known[1000:] == [None] * 600
        again = notifier.accept_many(intents)
    assert {one.status for one in again} <= {"duplicate", "accepted"}
    assert len(deployment.routes()) == 1600


def test_notifier__may_be_shared_by_threads(any_server: Server, deploy: Deploy) -> None:
    """Eight threads hand in at once: each has its own receipt, none is lost."""
    deployment = deploy(any_server)

    def hand_in(number: int) -> str:
        receipts = [
            deployment.notifier.accept(intent(recipients=[f"u{number}"])) for _ in range(25)
        ]
        assert {receipt.status for receipt in receipts} == {"accepted"}
        return str(receipts[0].notification_id)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(hand_in, range(8)))) == 8
    assert len(deployment.routes()) == 200


def test_notifier__reads_the_shards_from_the_deployment(any_server: Server, deploy: Deploy) -> None:
    """A client that knows only the URL puts every notification where the daemons look for it."""
    deployment = deploy(any_server, worker__shards=5, worker__channels=["push", "email"])
    with Notifier.from_url(any_server.url) as notifier:
        for _ in range(20):
            assert notifier.accept({**PLAIN, "channels": ["email"]}).status == "accepted"
        refused = notifier.accept({**PLAIN, "channels": ["sms"]})
    assert refused.error is not None
    assert refused.error.message == 'unknown channel "sms" (known: email, push)'
    assert len(deployment.due("email")) == 20
    for member in deployment.due("email"):
        keys = deployment.key_space.keys_for(member.partition("/")[0])
        assert deployment.client.zscore(keys.schedule("email"), member) is not None


def test_notifier__refuses_a_deployment_of_other_shards(any_server: Server, deploy: Deploy) -> None:
    """Settings that name other shards than the deployment has are an error, not a lost route."""
    deployment = deploy(any_server, worker__shards=2)
    with (
        Notifier(deployment.settings_at(any_server.url, worker__shards=3)) as notifier,
        pytest.raises(ConfigurationError, match="this deployment has 2"),
    ):
        notifier.accept(PLAIN)


def test_async_notifier__promises_the_same(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """With await: duplicate, conflict, cancel, many, and an id to repeat with."""
    deployment = deploy(any_server)
    deployment.load_scripts()
    keyed = {**PLAIN, "idempotency_key": "k"}

    async def use() -> None:
        async with AsyncNotifier.from_url(proxy.url) as notifier:
            assert (await notifier.accept(keyed)).status == "accepted"
            assert (await notifier.accept(keyed)).status == "duplicate"
            conflict = await notifier.accept({**keyed, "title": "T"})
            assert conflict.error is not None
            assert conflict.error.code == "conflict"
            assert (await notifier.cancel(id_for_key("lobby", "k"))).cancelled == 1
            many = await notifier.accept_many([PLAIN, {**PLAIN, "recipients": []}])
            assert [one.status for one in many] == ["accepted", "refused"]
            proxy.lose_reply("intent_accept")
            assert (await notifier.accept(PLAIN)).status == "accepted"
            with proxy.down(), pytest.raises(Unavailable) as error:
                await notifier.accept(PLAIN)
            named = error.value.notification_id
            assert named is not None
            repeat = await notifier.accept(PLAIN, notification_id=named)
            assert (repeat.status, repeat.notification_id) == ("accepted", named)

    asyncio.run(use())
    assert len(deployment.routes()) == 4


def commands(deployment: DeploymentFixture) -> int:
    """Return how many scripts the server was sent."""
    return int(deployment.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_accept__says_why_redis_stored_nothing(any_server: Server, deploy: Deploy) -> None:
    """A producer is told what the server said, and nothing of the intent is left behind."""
    deployment = deploy(any_server)
    with Notifier(deployment.settings) as notifier:
        notifier.accept(PLAIN)
        before = deployment.totals()
        with out_of_memory(any_server), pytest.raises(Unavailable, match="OOM") as told:
            notifier.accept(PLAIN)
        assert told.value.notification_id
        with out_of_memory(any_server), pytest.raises(Unavailable, match="OOM") as many:
            notifier.accept_many([PLAIN, {}])
    assert [receipt and receipt.status for receipt in many.value.receipts] == [None, "refused"]
    assert deployment.totals() == before
