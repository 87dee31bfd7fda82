"""The notifier: accepted once, and what a producer is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.intent import Intent
from tests.support.intents import PLAIN, intent
from tests.support.proxy import Proxy, proxied
from tests.support.refusing import out_of_memory
from tests.support.servers import Server
from tests.support.site import Site, member_of

Found = Callable[..., Site]


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(any_server.socket) as made:
        yield made


def test_accept__twice_with_a_key_is_one_notification(any_server: Server, found: Found) -> None:
    """The same content under the same key is a duplicate, in any order of its recipients."""
    site = found(any_server)
    keyed = {**PLAIN, "idempotency_key": "turn-12", "recipients": ["u1", "u2"]}
    first = site.notifier.accept(keyed)
    again = site.notifier.accept({**keyed, "recipients": ["u2", "u1", "u2"], "request_id": "r-2"})
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert first.notification_id == again.notification_id == id_for_key("lobby", "turn-12")
    assert (again.routes, again.parts) == (2, 1)
    assert site.statuses() == {"u1": "pending", "u2": "pending"}
    assert site.total("accepted") == 2


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
    any_server: Server, found: Found, changed: dict[str, Any]
) -> None:
    """A key that stands for other content is refused with the field, and nothing changes."""
    site = found(any_server, worker__channels=["push", "email"])
    keyed = {**PLAIN, "idempotency_key": "k"}
    site.notifier.accept(keyed)
    refused = site.notifier.accept({**keyed, **changed})
    assert (refused.status, refused.routes) == ("refused", 0)
    assert refused.error is not None
    assert (refused.error.code, refused.error.field) == ("conflict", "idempotency_key")
    assert len(site.routes()) == 1


def test_accept__of_the_same_key_from_another_producer_is_another(
    any_server: Server, found: Found
) -> None:
    """Keys belong to their producer."""
    site = found(any_server)
    for producer in ("lobby", "arena"):
        keyed = {**PLAIN, "producer": producer, "idempotency_key": "k"}
        assert site.notifier.accept(keyed).status == "accepted"
    assert len(site.routes()) == 2


def test_accept__makes_a_route_for_each_recipient_and_channel(
    any_server: Server, found: Found
) -> None:
    """Recipients times channels, each once."""
    site = found(any_server, worker__channels=["push", "email"])
    made = site.notify("u1", "u2", "u1", channels=["email", "push", "email"])
    assert set(site.due("push")) == {member_of(made, "u1"), member_of(made, "u2")}
    assert set(site.due("email")) == {
        member_of(made, "u1", "email"),
        member_of(made, "u2", "email"),
    }


def test_accept_many__refuses_only_what_is_wrong(any_server: Server, found: Found) -> None:
    """Each intent has its receipt, in order; the wrong ones hold up nobody."""
    site = found(any_server)
    keyed = {**PLAIN, "idempotency_key": "k"}
    receipts = site.notifier.accept_many(
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
    assert len(site.routes()) == 3


def test_accept_many__takes_thousands_in_few_round_trips(any_server: Server, found: Found) -> None:
    """Intents are sent together, over all shards."""
    site = found(any_server, worker__shards=3)
    site.load_scripts()
    before = commands(site)
    receipts = site.notifier.accept_many(intent(recipients=[f"u{n}"]) for n in range(2000))
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert len({receipt.notification_id for receipt in receipts}) == 2000
    assert commands(site) - before < 30


def test_accept_many__says_which_are_unknown(
    any_server: Server, found: Found, proxy: Proxy
) -> None:
    """When Redis goes away, what was answered has its receipt and the rest is None."""
    site = found(any_server)
    site.load_scripts()
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
    assert len(site.routes()) == 1600


def test_notifier__may_be_shared_by_threads(any_server: Server, found: Found) -> None:
    """Eight threads hand in at once: each has its own receipt, none is lost."""
    site = found(any_server)

    def hand_in(number: int) -> str:
        receipts = [site.notifier.accept(intent(recipients=[f"u{number}"])) for _ in range(25)]
        assert {receipt.status for receipt in receipts} == {"accepted"}
        return str(receipts[0].notification_id)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(hand_in, range(8)))) == 8
    assert len(site.routes()) == 200


def test_notifier__reads_the_shards_from_the_deployment(any_server: Server, found: Found) -> None:
    """A client that knows only the URL puts every notification where the daemons look for it."""
    site = found(any_server, worker__shards=5, worker__channels=["push", "email"])
    with Notifier.from_url(any_server.url) as notifier:
        for _ in range(20):
            assert notifier.accept({**PLAIN, "channels": ["email"]}).status == "accepted"
        refused = notifier.accept({**PLAIN, "channels": ["sms"]})
    assert refused.error is not None
    assert refused.error.message == 'unknown channel "sms" (known: email, push)'
    assert len(site.due("email")) == 20
    for member in site.due("email"):
        keys = site.key_space.keys_for(member.partition("/")[0])
        assert site.client.zscore(keys.schedule("email"), member) is not None


def test_notifier__refuses_a_deployment_of_other_shards(any_server: Server, found: Found) -> None:
    """Settings that name other shards than the deployment has are an error, not a lost route."""
    site = found(any_server, worker__shards=2)
    with (
        Notifier(site.settings_at(any_server.url, worker__shards=3)) as notifier,
        pytest.raises(ConfigurationError, match="this deployment has 2"),
    ):
        notifier.accept(PLAIN)


def test_async_notifier__promises_the_same(any_server: Server, found: Found, proxy: Proxy) -> None:
    """With await: duplicate, conflict, cancel, many, and an id to repeat with."""
    site = found(any_server)
    site.load_scripts()
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
    assert len(site.routes()) == 4


def commands(site: Site) -> int:
    """Return how many scripts the server was sent."""
    return int(site.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_accept__says_why_redis_stored_nothing(any_server: Server, found: Found) -> None:
    """A producer is told what the server said, and nothing of the intent is left behind."""
    site = found(any_server)
    with Notifier(site.settings) as notifier:
        notifier.accept(PLAIN)
        before = site.totals()
        with out_of_memory(any_server), pytest.raises(Unavailable, match="OOM") as told:
            notifier.accept(PLAIN)
        assert told.value.notification_id
        with out_of_memory(any_server), pytest.raises(Unavailable, match="OOM") as many:
            notifier.accept_many([PLAIN, {}])
    assert [receipt and receipt.status for receipt in many.value.receipts] == [None, "refused"]
    assert site.totals() == before
