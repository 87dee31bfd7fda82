"""Cooldowns: nobody is told of the same type too soon, unless it was not delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.reservations import Reservation, cooldown_reserve
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer, told
from tests.support.servers import Server
from tests.support.site import Site

Found = Callable[..., Site]
DAY = 86_400_000
HOUR = 3_600_000


@pytest.mark.parametrize("shards", [1, 3])
def test_cooldown__lets_one_of_many_at_once_through(
    shards: int, server: Server, found: Found
) -> None:
    """Of eight accepts at the same moment one delivers, whichever way they come in."""
    site = found(server, rules__cooldowns=[f"chat={DAY}"], worker__shards=shards)

    async def together() -> list[Any]:
        async with AsyncNotifier(site.settings) as notifier:
            intents = [{**PLAIN, "type": "chat", "recipients": ["u2"]} for _ in range(8)]
            return await asyncio.gather(*map(notifier.accept, intents))

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: told(site, "u1"), range(8)))
    words = [outcomes(site, one)["push:u1"] for one in made]
    assert sorted(words) == ["cooldown"] * 7 + ["pending"]
    receipts = asyncio.run(together())
    assert sorted(receipt.skipped for receipt in receipts) == [0] + [1] * 7
    many = site.notifier.accept_many([{**PLAIN, "type": "chat", "recipients": ["u3"]}] * 8)
    assert [receipt.skipped for receipt in many] == [0] + [1] * 7
    assert outcomes(site, told(site, "u1", kind="mail")) == {"push:u1": "pending"}


def test_cooldown__is_broken_through_by_the_more_severe(server: Server, found: Found) -> None:
    """An info never hides a warning; the warning then holds back what is no more severe."""
    site = found(server, rules__cooldown_ms=DAY)
    words = [
        outcomes(site, told(site, "u1", severity=severity))["push:u1"]
        for severity in ("info", "warning", "notice", "warning", "critical")
    ]
    assert words == ["pending", "pending", "cooldown", "cooldown", "pending"]


def test_cooldown__is_not_begun_by_what_failed(server: Server, found: Found) -> None:
    """Dead, cancelled or expired: the next one is told; what may still be delivered holds."""
    site = found(server, rules__cooldown_ms=DAY, retry__max_attempts=1)

    def refuse(notification: Notification, _: Route) -> bytes:
        if notification.title == "bad":
            raise ValueError("no such codec")
        return notification.packed

    station = site.station(refuse)
    dead = told(site, "u1", title="bad")
    assert outcomes(site, told(site, "u1")) == {"push:u1": "cooldown"}, "it may still be delivered"
    station.step()
    assert outcomes(site, dead) == {"push:u1": "dead_letter"}
    cancelled = told(site, "u1")
    assert outcomes(site, cancelled) == {"push:u1": "pending"}
    site.notifier.cancel(cancelled)
    last = told(site, "u1")
    station.step()
    assert outcomes(site, last) == {"push:u1": "published"}
    assert outcomes(site, told(site, "u1")) == {"push:u1": "cooldown"}


def test_cooldown__keeps_what_tells_whether_it_was_delivered(server: Server, found: Found) -> None:
    """A notification outlives the cooldown that it holds, however short retention is."""
    site = found(server, rules__cooldowns=[f"chat={DAY}"], retention__settled_ms=1000)
    station = site.station()
    made = told(site, "u1")
    plain = told(site, "u1", kind="mail")
    station.step()
    ttls = [site.client.pttl(site.keys.notification(one)) for one in (made, plain)]
    assert ttls[0] > DAY - 60_000
    assert ttls[1] <= 1000


@pytest.mark.parametrize(("ago_ms", "word"), [(0, "cooldown"), (61_000, "pending")])
def test_cooldown__is_not_begun_by_what_was_never_accepted(
    ago_ms: int, word: str, server: Server, found: Found
) -> None:
    """A producer that died between the reservation and the accept holds it a minute at most."""
    site = found(server, rules__cooldown_ms=DAY)
    lost = Reservation("u1", "f" * 32, 0, None)
    run_sync(site.client, cooldown_reserve(site.keys, "chat", DAY, [lost], site.now() - ago_ms))
    assert outcomes(site, told(site, "u1")) == {"push:u1": word}


def test_cooldown__is_not_begun_again_by_a_repeat(server: Server, found: Found) -> None:
    """What was told before the cooldown ended holds nobody back for being handed in again."""
    site = found(server, rules__cooldown_ms=DAY)
    intent = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "once"}
    site.notifier.accept(intent)
    site.station().step()
    site.client.delete(site.keys.cooldown("chat", "u1"))
    assert site.notifier.accept(intent).status == "duplicate"
    assert outcomes(site, told(site, "u1")) == {"push:u1": "pending"}


def test_cooldown__is_not_begun_again_by_a_repeat_with_a_collapse_key(
    server: Server, found: Found
) -> None:
    """It is looked at for what it supersedes, and no more."""
    site = found(server, rules__cooldown_ms=DAY)
    intent = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "once"}
    for _ in range(2):
        site.notifier.accept({**intent, "collapse_key": "score"})
        site.client.delete(site.keys.cooldown("chat", "u1"))
    assert outcomes(site, told(site, "u1")) == {"push:u1": "pending"}


def test_cooldown__of_now_and_of_what_is_scheduled_hold_beside_each_other(
    server: Server, found: Found
) -> None:
    """One for next week is told, and frees neither today nor next week for another one."""
    site = found(server, rules__cooldown_ms=DAY)
    later = site.now() + 7 * DAY
    words = [
        outcomes(site, told(site, "u1", due_at=due))["push:u1"]
        for due in (None, later, None, later + 1)
    ]
    assert words == ["pending", "pending", "cooldown", "cooldown"]


def test_cooldown__outlives_what_broke_through_and_came_to_nothing(
    server: Server, found: Found
) -> None:
    """The lesser one that was told before it still holds; without that the next one is told."""
    site = found(server, rules__cooldown_ms=DAY)
    first = told(site, "u1")
    second = told(site, "u1", severity="critical")
    site.notifier.cancel(second)
    assert outcomes(site, told(site, "u1")) == {"push:u1": "cooldown"}
    site.notifier.cancel(first)
    assert outcomes(site, told(site, "u1")) == {"push:u1": "pending"}


def test_cooldown__begins_when_quiet_hours_end(server: Server, found: Found) -> None:
    """What they defer to one moment meets there."""
    site = found(server, rules__cooldown_ms=HOUR)
    prefer(site, "u1", quiet={"from": "00:00", "to": "07:00", "zone": "UTC"})
    told(site, "u2", kind="mail")
    midnight = (site.now() // DAY + 2) * DAY
    dues = (midnight + HOUR, midnight + 3 * HOUR, midnight + 7 * HOUR, midnight + 8 * HOUR)
    words = [outcomes(site, told(site, "u1", due_at=due))["push:u1"] for due in dues]
    assert words == ["pending", "cooldown", "cooldown", "pending"]


def test_cooldown__is_held_by_any_part_of_a_notification(server: Server, found: Found) -> None:
    """A user whose channels are in two parts was told if one of them delivered."""
    channels = ["email", "push"]
    site = found(server, rules__cooldown_ms=DAY, limits__max_routes=3, worker__channels=channels)
    first = told(site, "u1", "u2", channels=channels)
    site.notifier.cancel(first, route="email:u2")
    assert site.client.hexists(site.keys.notification(f"{first}.2"), "push:u2")
    assert outcomes(site, told(site, "u2")) == {"push:u2": "cooldown"}
