"""The intent stream: each entry becomes one notification, or a reject with its reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.plan import IntentLike
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.settings import Settings
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intake import (
    GROUP,
    INTENT,
    KEYS,
    QUICK,
    hand_in,
    in_hand,
    intent,
    left,
    pending,
    read_until,
    reading,
    rejects,
)
from tests.support.servers import Server
from tests.support.suite import examples
from tests.support.telemetry import Metrics
from tests.support.wait import until


def _read_all(deployment: DeploymentFixture, **options: Any) -> None:
    read_until(
        deployment.settings, lambda: not left(deployment.client), "the stream is empty", **options
    )
    assert pending(deployment.client) == 0


def test_intent__becomes_a_notification(any_server: Server, deploy: Deploy) -> None:
    """An entry is accepted, acknowledged and deleted; its id is its idempotency key."""
    deployment = deploy(any_server)
    entry_id, _ = hand_in(deployment.client, intent(1), intent(2, idempotency_key="k"))
    _read_all(deployment)
    made = {member.partition("/")[0] for member in deployment.routes()}
    assert made == {id_for_key("p", entry_id), id_for_key("p", "k")}
    assert rejects(deployment.client) == []


def test_intents__are_accepted_in_the_order_of_the_stream(
    any_server: Server, deploy: Deploy
) -> None:
    """The first use of a key counts, and a later one with other content is the conflict."""
    deployment = deploy(any_server)
    first = [intent(1, idempotency_key=f"k{n}") for n in range(50)]
    second = [intent(2, idempotency_key=f"k{n}") for n in range(50)]
    hand_in(deployment.client, *first, *first, *second)
    _read_all(deployment)
    assert {member.rpartition(":")[2] for member in deployment.routes()} == {"u1"}
    assert len(deployment.routes()) == 50
    assert [one["code"] for one in rejects(deployment.client)] == [b"conflict"] * 50


def test_intent__that_cannot_be_accepted_is_rejected(any_server: Server, deploy: Deploy) -> None:
    """Each reject says what is wrong and where; the neighbours are accepted."""
    deployment = deploy(any_server, intake__max_bytes=2048, limits__max_payload_bytes=256)
    bad: dict[str, tuple[str, str]] = {
        "{": ("invalid", ""),
        "[]": ("invalid", ""),
        '"text"': ("invalid", ""),
        json.dumps({**INTENT, "nope": 1}): ("invalid", "nope"),
        json.dumps({**INTENT, "recipients": ["u1", " "]}): ("invalid", "recipients[1]"),
        json.dumps({**INTENT, "channels": ["psuh"]}): ("invalid", "channels[0]"),
        json.dumps({**INTENT, "body": "x" * 500}): ("too_large", "body"),
        json.dumps({**INTENT, "body": "x" * 2048}): ("too_large", "intent"),
    }
    for number, text in enumerate(bad):
        hand_in(deployment.client, text, intent(number))
    deployment.client.xadd(KEYS.stream, {"intent": intent(1), "more": "x"})
    deployment.client.xadd(KEYS.stream, {"text": intent(1)})
    _read_all(deployment)
    told = [(one["code"].decode(), one["field"].decode()) for one in rejects(deployment.client)]
    assert sorted(told) == sorted([*bad.values(), ("invalid", "more"), ("invalid", "text")])
    assert len(deployment.routes()) == len(bad)
    for one in rejects(deployment.client):
        assert one["message"].decode().isprintable()
        assert int(one["at_ms"]) > 0


def test_intent__of_five_megabytes_holds_up_nobody(any_server: Server, deploy: Deploy) -> None:
    """Large entries, and one of thousands of fields, go to the rejects; the rest is accepted."""
    deployment = deploy(any_server)
    for number in range(4):
        hand_in(deployment.client, b"x" * 5_000_000, intent(number))
    many: Any = {f"f{n}": n for n in range(5_000)}
    deployment.client.xadd(KEYS.stream, many)
    hand_in(deployment.client, intent(9))
    _read_all(deployment)
    assert len(deployment.routes()) == 5
    assert [one["code"] for one in rejects(deployment.client)] == [b"too_large"] * 4 + [b"invalid"]


def test_intent__of_arbitrary_bytes_is_ended(server: Server, deploy: Deploy) -> None:
    """Whatever bytes an entry holds, it is done with, and the next one is accepted."""
    deployment = deploy(server)
    texts = st.binary(max_size=200) | st.text(max_size=50).map(str.encode)
    values = st.dictionaries(
        st.sampled_from([*INTENT, "data", "due_at", "idempotency_key", "severity"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.text()),
    ).map(lambda value: json.dumps({**INTENT, **value}).encode())
    fields = st.dictionaries(
        st.sampled_from([b"intent", b"entry_id"]) | st.binary(max_size=9),
        texts | values,
        min_size=1,
    )

    sound: set[str] = set()

    @settings(max_examples=examples(20, 100), suppress_health_check=list(HealthCheck))
    @given(st.lists(fields, min_size=1, max_size=40))
    def hand_in_anything(entries: list[dict[bytes, bytes]]) -> None:
        for entry in entries:
            deployment.client.xadd(KEYS.stream, entry)  # type: ignore[arg-type]  # bytes are taken
        hand_in(deployment.client, intent(len(sound)))
        sound.add(f"u{len(sound)}")

    hand_in_anything()
    _read_all(deployment)
    assert sound <= deployment.statuses().keys()
    assert all(one["message"].decode().isprintable() for one in rejects(deployment.client))


def test_entry__left_by_a_dead_reader_is_taken_over(any_server: Server, deploy: Deploy) -> None:
    """What was accepted before its reader died is a duplicate, the rest is accepted now."""
    deployment = deploy(any_server, **QUICK)
    metrics = Metrics()
    ids = hand_in(deployment.client, intent(1), intent(2))
    deployment.client.xgroup_create(KEYS.stream, GROUP, "0")
    deployment.client.xreadgroup(GROUP, "dead", {KEYS.stream: ">"})
    deployment.notifier.accept({**INTENT, "idempotency_key": ids[0]})
    _read_all(deployment, telemetry=metrics.recorder)
    assert len(deployment.routes()) == 2
    assert metrics.values("intents.reclaimed") == {(): 2}
    assert metrics.values("intents.accepted") == {("p", "accepted"): 1, ("p", "duplicate"): 1}
    assert metrics.values("notifications.accepted") == {("accepted",): 1, ("duplicate",): 1}


def test_entry__in_the_hands_of_a_living_reader_stays_there(
    any_server: Server, deploy: Deploy
) -> None:
    """A reader that is slow is not robbed, however long it takes."""
    # So long that the slow one keeps it also where all stand still for a while.
    deployment = deploy(any_server, intake__claim_idle_ms=6000)
    slow = _SlowNotifier(deployment.settings)
    idle: list[int] = []
    hand_in(deployment.client, intent(1))

    async def main() -> None:
        async with reading(deployment.settings, name="slow", notifier=slow):
            await until(lambda: pending(deployment.client), "it has it in hand")
            async with reading(deployment.settings, name="quick"):
                # Kept for as long as after which it would be the other's.
                await until(lambda: _renewed(idle, in_hand(deployment.client)) >= 3, "it was kept")
                assert in_hand(deployment.client)["consumer"] == b"slow"
                assert in_hand(deployment.client)["times_delivered"] == 1
                slow.may_go.set()
                await until(lambda: not left(deployment.client), "it is accepted")

    asyncio.run(main())
    assert len(deployment.routes()) == 1


def _renewed(idle: list[int], waiting: dict[str, Any]) -> int:
    idle.append(int(waiting["time_since_delivered"]))
    return sum(later < earlier for earlier, later in pairwise(idle))


class _SlowNotifier(AsyncNotifier):
    """Accepts when it is told that it may."""

    def __init__(self, given: Settings) -> None:
        super().__init__(given)
        self.may_go = asyncio.Event()

    async def accept_many(self, intents: Iterable[IntentLike]) -> list[Receipt]:
        await self.may_go.wait()
        return await super().accept_many(intents)


def test_poison__is_rejected_unread_after_its_tries(any_server: Server, deploy: Deploy) -> None:
    """An entry that was begun so often is parked; handed in again it is known by its id."""
    deployment = deploy(any_server, **QUICK, intake__max_deliveries=3)
    poison, _ = hand_in(deployment.client, intent(1), intent(2))
    deployment.client.xgroup_create(KEYS.stream, GROUP, "0")
    deployment.client.xreadgroup(GROUP, "dead", {KEYS.stream: ">"}, count=1)
    deployment.client.xclaim(KEYS.stream, GROUP, "dead", 0, [poison], retrycount=3, justid=True)
    _read_all(deployment)
    (reject,) = rejects(deployment.client)
    assert (reject["code"], reject["deliveries"]) == (b"abandoned", b"3")
    assert reject["entry_id"] == poison.encode()
    assert deployment.statuses() == {"u2": "pending"}


def test_rejects__are_counted_by_code(any_server: Server, deploy: Deploy) -> None:
    """What was refused is counted, by its code."""
    deployment, metrics = deploy(any_server), Metrics()
    named = intent(1, channels=["push"], recipients=["u1", "u2", "u1"])
    hand_in(deployment.client, "{", "{", named, intent(2), b"x" * 1_100_000)
    _read_all(deployment, telemetry=metrics.recorder)
    assert metrics.values("intents.read") == {(): 5}
    assert metrics.values("intents.rejected") == {(): 3}
    assert metrics.values("notifications.refused") == {("invalid",): 2, ("too_large",): 1}
    assert metrics.values("routes.accepted") == {("push",): 2, ("any",): 1}


def test_readers__share_the_entries(any_server: Server, deploy: Deploy) -> None:
    """Two readers make one notification of each intent."""
    deployment = deploy(any_server)
    hand_in(deployment.client, *(intent(n) for n in range(300)))

    async def main() -> None:
        async with (
            reading(deployment.settings, name="one"),
            reading(deployment.settings, name="two"),
        ):
            await until(lambda: not left(deployment.client), "all is read")

    asyncio.run(main())
    assert len(deployment.routes()) == 300
