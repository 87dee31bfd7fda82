"""Rules at accept: recipients get what they want, not too often, and can be told why not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.intake.cooling import COOLDOWN
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.preference import Reason
from galaxy_notify.model.route import Route, Status
from galaxy_notify.operations.why import SKIPPED_WHY
from galaxy_notify.redis_state.reservations import Reservation, reserve
from galaxy_notify.redis_state.runner import run_sync
from tests.support.intents import PLAIN
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.wait import wait_until

Found = Callable[..., Site]
DAY = 86_400_000
HOUR = 3_600_000


def prefer(site: Site, user: str, **fields: Any) -> None:
    """Store what a user wants: ``every``, a type's name, ``silenced`` or ``quiet``."""
    for keys in site.layout.all_keys:
        site.client.set(keys.preferred, "1")
    names = {"every": "*", "silenced": "silenced", "quiet": "quiet"}
    stored = {
        names.get(name, f"type:{name}"): value if isinstance(value, str) else json.dumps(value)
        for name, value in fields.items()
    }
    site.client.hset(site.layout.keys_of_user(user).preferences(user), mapping=stored)  # type: ignore[arg-type]  # text


def outcomes(site: Site, made: str) -> dict[str, str]:
    """Return what became of each route: its status, or why it was skipped."""
    found = {}
    for member, route in site.routes().items():
        name, _, route_id = member.partition("/")
        if name.partition(".")[0] == made:
            skipped = route.status is Status.SKIPPED
            found[route_id] = route.history[-1].failure_class if skipped else str(route.status)
    return found


def told(site: Site, *users: str, kind: str = "chat", **fields: Any) -> str:
    """Hand in what is told some users, and return its id."""
    return site.notify(*users, type=kind, **fields)


def test_preferences__decide_route_by_route(server: Server, found: Found) -> None:
    """Each user gets what they want; whatever they do not get says why, and is counted."""
    site = found(server, worker__channels=["push", "email"])
    prefer(site, "quiet-one", silenced="1")
    prefer(site, "none", chat={"channels": []})
    prefer(site, "mailer", every={"channels": ["email"]})
    prefer(site, "busy", every={"min_severity": "warning"})
    users = ("quiet-one", "none", "mailer", "busy", "plain")
    made = told(site, *users, channels=["push", "email"])
    expected = {
        "quiet-one": ("silenced", "silenced"),
        "none": ("no_channels", "no_channels"),
        "mailer": ("channel_not_wanted", "pending"),
        "busy": ("below_minimum", "below_minimum"),
        "plain": ("pending", "pending"),
    }
    wanted = {f"push:{user}": push for user, (push, _) in expected.items()}
    wanted |= {f"email:{user}": mail for user, (_, mail) in expected.items()}
    assert outcomes(site, made) == wanted
    assert site.totals()["skipped"] == 7
    assert site.totals()["skipped:silenced"] == 2
    severe = told(site, "busy", severity="critical")
    assert outcomes(site, severe) == {"push:busy": "pending"}


def test_preferences__choose_where_the_producer_names_no_channel(
    server: Server, found: Found
) -> None:
    """Channels left out are the recipient's own choice, one or several, or the default."""
    site = found(server, worker__channels=["push", "email", "sms"])
    prefer(site, "mailer", chat={"channels": ["email", "sms"]})
    prefer(site, "stranger", chat={"channels": ["fax"]})
    intent = {**PLAIN, "type": "chat", "recipients": ["mailer", "stranger", "plain"]}
    intent.pop("channels", None)
    receipt = site.notifier.accept(intent)
    assert (receipt.routes, receipt.skipped) == (4, 1)
    assert outcomes(site, receipt.notification_id or "") == {
        "email:mailer": "pending",
        "sms:mailer": "pending",
        "push:stranger": "channel_not_wanted",
        "push:plain": "pending",
    }


def test_preferences__set_for_the_first_time_reach_running_producers(
    server: Server, found: Found
) -> None:
    """A producer that never met a preference looks at the first one at once; so do many at once."""
    site = found(server, worker__shards=4)
    told(site, "u1")
    prefer(site, "u1", silenced="1")
    assert outcomes(site, told(site, "u1", "u2")) == {"push:u1": "silenced", "push:u2": "pending"}
    with site.notifier.from_url(server.url) as other:
        many = other.accept_many({**PLAIN, "recipients": [f"u{n}"]} for n in range(20))
    assert [receipt.skipped for receipt in many] == [int(n == 1) for n in range(20)]


def test_quiet_hours__defer_what_is_not_critical(server: Server, found: Found) -> None:
    """A route waits for their end to the minute; what would expire by then is skipped."""
    site = found(server, worker__channels=["push", "email"])
    now = site.now()
    minute = now // 60_000 % 1440
    begin, end = (minute - 60) % 1440, (minute + 60) % 1440
    clock = [f"{at // 60:02}:{at % 60:02}" for at in (begin, end)]
    prefer(site, "u1", quiet={"from": clock[0], "to": clock[1], "zone": "UTC"})
    deferred = told(site, "u1", channels=["push", "email"])
    ends = site.due()[f"{deferred}/push:u1"]
    assert ends % 60_000 == 0
    assert now + 58 * 60_000 < ends <= now + 60 * 60_000
    assert site.due("email")[f"{deferred}/email:u1"] < now + 60_000
    critical = told(site, "u1", severity="critical")
    assert site.due()[f"{critical}/push:u1"] < now + 60_000
    late = told(site, "u1", expires_at=now + HOUR // 2)
    assert outcomes(site, late) == {"push:u1": "quiet_hours"}


def test_mandatory_type__is_silenced_by_no_preference(server: Server, found: Found) -> None:
    """What must be told is told; of the cooldowns only one of its own holds it back."""
    rules = {"rules__cooldown_ms": DAY, "rules__mandatory": ["password.reset"]}
    site = found(server, **rules)
    prefer(site, "u1", silenced="1", every={"channels": []})
    for _ in range(2):
        made = told(site, "u1", kind="password.reset")
        assert outcomes(site, made) == {"push:u1": "pending"}
    assert outcomes(site, told(site, "u1")) == {"push:u1": "silenced"}


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
    run_sync(site.client, reserve(site.keys, "chat", DAY, [lost], site.now() - ago_ms))
    assert outcomes(site, told(site, "u1")) == {"push:u1": word}


def test_rules__of_a_repeat_change_nothing(server: Server, found: Found) -> None:
    """A repeat is a duplicate with the same routes; it neither loses its cooldown nor its place."""
    site = found(server, rules__cooldown_ms=DAY, limits__max_routes=3)
    prefer(site, "u1", silenced="1")
    users = [f"u{n}" for n in range(8)]
    intent = {**PLAIN, "recipients": users, "idempotency_key": "once"}
    first = site.notifier.accept(intent)
    again = site.notifier.accept(intent)
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert (first.routes, first.parts, first.skipped) == (8, 3, 1)
    assert (again.routes, again.parts) == (8, 3)
    assert site.totals()["accepted"] == 8
    words = outcomes(site, first.notification_id or "")
    assert words == {f"push:{u}": "silenced" if u == "u1" else "pending" for u in users}


def test_cooldown__is_not_begun_again_by_a_repeat(server: Server, found: Found) -> None:
    """What was told before the cooldown ended holds nobody back for being handed in again."""
    site = found(server, rules__cooldown_ms=DAY)
    intent = {**PLAIN, "type": "chat", "recipients": ["u1"], "idempotency_key": "once"}
    site.notifier.accept(intent)
    site.station().step()
    site.client.delete(site.keys.cooldown("chat", "u1"))
    assert site.notifier.accept(intent).status == "duplicate"
    assert outcomes(site, told(site, "u1")) == {"push:u1": "pending"}


def test_rules__of_a_large_intent_take_few_round_trips(server: Server, found: Found) -> None:
    """A thousand recipients, half of them held by other notifications: a handful, as for one."""
    site = found(server, rules__cooldown_ms=DAY, worker__shards=2)
    prefer(site, "u1", silenced="1")
    client: Any = site.notifier._client
    trips: list[int] = []
    run_all = client.run_all

    def counted(asked: Any) -> Any:
        trips.append(1)
        return run_all(asked)

    client.run_all = counted
    for count in (1, 1000):
        users = [f"user-{n}" for n in range(count)]
        told(site, *users[::2])
        trips.clear()
        told(site, *users)
        assert len(trips) <= 6


def test_collapse_key__supersedes_what_still_waits(server: Server, found: Found) -> None:
    """The newest is told; what waits is cancelled for its recipients only, published stays."""
    site = found(server, worker__shards=2)
    later = site.now() + HOUR
    first = told(site, "u1", "u2", "u3", collapse_key="score", due_at=later)
    second = told(site, "u1", "u2", collapse_key="score")
    other = told(site, "u1", collapse_key="other")
    foreign = told(site, "u1", collapse_key="score", producer="another")
    assert outcomes(site, first) == {
        "push:u1": "cancelled",
        "push:u2": "cancelled",
        "push:u3": "pending",
    }
    with site.station().running():
        wait_until(lambda: set(outcomes(site, second).values()) == {"published"}, "it is told")
        wait_until(lambda: len(site.due()) == 1, "so are the others")
    third = told(site, "u1", collapse_key="score")
    for made in (second, other, foreign):
        assert set(outcomes(site, made).values()) == {"published"}
    assert outcomes(site, third) == {"push:u1": "pending"}
    line = site.route(f"{first}/push:u1").history[-1]
    assert (line.event, line.worker) == ("cancelled", f"newer {second}")


def test_collapse_key__of_a_repeat_makes_nothing_newer(server: Server, found: Found) -> None:
    """An old one handed in again stays superseded; what a dead producer left is made up for."""
    site = found(server)
    fields = {"collapse_key": "score", "due_at": site.now() + HOUR, "type": "chat"}
    old = {**PLAIN, **fields, "recipients": ["u1"], "idempotency_key": "old"}
    first = site.notifier.accept(old).notification_id or ""
    second = told(site, "u1", collapse_key="score", due_at=fields["due_at"])
    assert site.notifier.accept(old).status == "duplicate"
    assert outcomes(site, first) == {"push:u1": "cancelled"}
    assert outcomes(site, second) == {"push:u1": "pending"}


def test_reasons__all_have_words() -> None:
    """Whoever looks at a skipped route is told what the reason means."""
    assert set(SKIPPED_WHY) == {str(reason) for reason in Reason} | {COOLDOWN}
