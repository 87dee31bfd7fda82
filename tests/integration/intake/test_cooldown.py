"""Cooldowns: nobody is told of the same type too soon, unless it was not delivered."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.reservations import Reservation, cooldown_reserve
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer, told
from tests.support.servers import Server

DAY = 86_400_000
HOUR = 3_600_000


@pytest.mark.parametrize("shards", [1, 3])
def test_cooldown__lets_one_of_many_at_once_through(
    shards: int, server: Server, deploy: Deploy
) -> None:
    """Of eight accepts at the same moment one delivers, whichever way they come in."""
    deployment = deploy(server, rules__cooldowns=[f"chat={DAY}"], worker__shards=shards)

    async def together() -> list[Any]:
        async with AsyncNotifier(deployment.settings) as notifier:
            intents = [{**PLAIN, "type": "chat", "recipients": ["u2"]} for _ in range(8)]
            return await asyncio.gather(*map(notifier.accept, intents))

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: told(deployment, "u1"), range(8)))
    words = [outcomes(deployment, one)["push:u1"] for one in made]
    assert sorted(words) == ["cooldown"] * 7 + ["pending"]
    receipts = asyncio.run(together())
    assert sorted(receipt.skipped for receipt in receipts) == [0] + [1] * 7
    many = deployment.notifier.accept_many([{**PLAIN, "type": "chat", "recipients": ["u3"]}] * 8)
    assert [receipt.skipped for receipt in many] == [0] + [1] * 7
    assert outcomes(deployment, told(deployment, "u1", kind="mail")) == {"push:u1": "pending"}


def test_cooldown__is_broken_through_by_the_more_severe(server: Server, deploy: Deploy) -> None:
    """An info never hides a warning; the warning then holds back what is no more severe."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    words = [
        outcomes(deployment, told(deployment, "u1", severity=severity))["push:u1"]
        for severity in ("info", "warning", "notice", "warning", "critical")
    ]
    assert words == ["pending", "pending", "cooldown", "cooldown", "pending"]


def test_cooldown__is_not_begun_by_what_failed(server: Server, deploy: Deploy) -> None:
    """Dead, cancelled or expired: the next one is told; what may still be delivered holds."""
    deployment = deploy(server, rules__cooldown_ms=DAY, retry__max_attempts=1)

    def refuse(notification: Notification, _: Route) -> bytes:
        if notification.title == "bad":
            raise ValueError("no such codec")
        return notification.packed

    harness = deployment.worker_harness(refuse)
    dead = told(deployment, "u1", title="bad")
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "cooldown"}, (
        "it may still be delivered"
    )
    harness.step()
    assert outcomes(deployment, dead) == {"push:u1": "dead_letter"}
    cancelled = told(deployment, "u1")
    assert outcomes(deployment, cancelled) == {"push:u1": "pending"}
    deployment.notifier.cancel(cancelled)
    last = told(deployment, "u1")
    harness.step()
    assert outcomes(deployment, last) == {"push:u1": "published"}
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "cooldown"}


def test_cooldown__keeps_what_tells_whether_it_was_delivered(
    server: Server, deploy: Deploy
) -> None:
    """A notification outlives the cooldown that it holds, however short retention is."""
    deployment = deploy(server, rules__cooldowns=[f"chat={DAY}"], retention__settled_ms=1000)
    harness = deployment.worker_harness()
    made = told(deployment, "u1")
    plain = told(deployment, "u1", kind="mail")
    harness.step()
    ttls = [deployment.client.pttl(deployment.keys.notification(one)) for one in (made, plain)]
    assert ttls[0] > DAY - 60_000
    assert ttls[1] <= 1000


@pytest.mark.parametrize(("ago_ms", "word"), [(0, "cooldown"), (61_000, "pending")])
def test_cooldown__is_not_begun_by_what_was_never_accepted(
    ago_ms: int, word: str, server: Server, deploy: Deploy
) -> None:
    """A producer that died between the reservation and the accept holds it a minute at most."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    lost = Reservation("u1", "f" * 32, 0, None)
    run_sync(
        deployment.client,
        cooldown_reserve(deployment.keys, "chat", DAY, [lost], deployment.now() - ago_ms),
    )
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": word}


def test_cooldown__is_not_begun_again_by_a_repeat(server: Server, deploy: Deploy) -> None:
    """What was told before the cooldown ended holds nobody back for being handed in again."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    intent = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "once"}
    deployment.notifier.accept(intent)
    deployment.worker_harness().step()
    deployment.client.delete(deployment.keys.cooldown("chat", "u1"))
    assert deployment.notifier.accept(intent).status == "duplicate"
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "pending"}


def test_cooldown__is_not_begun_again_by_a_repeat_with_a_collapse_key(
    server: Server, deploy: Deploy
) -> None:
    """It is looked at for what it supersedes, and no more."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    intent = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "once"}
    for _ in range(2):
        deployment.notifier.accept({**intent, "collapse_key": "score"})
        deployment.client.delete(deployment.keys.cooldown("chat", "u1"))
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "pending"}


def test_cooldown__of_now_and_of_what_is_scheduled_hold_beside_each_other(
    server: Server, deploy: Deploy
) -> None:
    """One for next week is told, and frees neither today nor next week for another one."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    later = deployment.now() + 7 * DAY
    words = [
        outcomes(deployment, told(deployment, "u1", due_at=due))["push:u1"]
        for due in (None, later, None, later + 1)
    ]
    assert words == ["pending", "pending", "cooldown", "cooldown"]


def test_cooldown__outlives_what_broke_through_and_came_to_nothing(
    server: Server, deploy: Deploy
) -> None:
    """The lesser one that was told before it still holds; without that the next one is told."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    first = told(deployment, "u1")
    second = told(deployment, "u1", severity="critical")
    deployment.notifier.cancel(second)
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "cooldown"}
    deployment.notifier.cancel(first)
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "pending"}


def test_cooldown__begins_when_quiet_hours_end(server: Server, deploy: Deploy) -> None:
    """What they defer to one moment meets there."""
    deployment = deploy(server, rules__cooldown_ms=HOUR)
    prefer(deployment, "u1", quiet={"from": "00:00", "to": "07:00", "zone": "UTC"})
    told(deployment, "u2", kind="mail")
    midnight = (deployment.now() // DAY + 2) * DAY
    dues = (midnight + HOUR, midnight + 3 * HOUR, midnight + 7 * HOUR, midnight + 8 * HOUR)
    words = [outcomes(deployment, told(deployment, "u1", due_at=due))["push:u1"] for due in dues]
    assert words == ["pending", "cooldown", "cooldown", "pending"]


def test_cooldown__is_held_by_any_part_of_a_notification(server: Server, deploy: Deploy) -> None:
    """A user whose channels are in two parts was told if one of them delivered."""
    channels = ["email", "push"]
    deployment = deploy(
        server, rules__cooldown_ms=DAY, limits__max_routes=3, worker__channels=channels
    )
    first = told(deployment, "u1", "u2", channels=channels)
    deployment.notifier.cancel(first, route="email:u2")
    assert deployment.client.hexists(deployment.keys.notification(f"{first}.2"), "push:u2")
    assert outcomes(deployment, told(deployment, "u2")) == {"push:u2": "cooldown"}
