"""Rules at accept: recipients get what they want, and can be told why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.accept import Accepted, accept_flow
from galaxy_notify.intake.plan import plan
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.rules.cooldowns import COOLDOWN
from galaxy_notify.model.intent import Intent
from galaxy_notify.model.preference import Reason
from galaxy_notify.operations.why import SKIPPED_WHY
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.reservations import Reservation, cooldown_reserve
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer, told
from tests.support.servers import Server
from tests.support.site import Site

Found = Callable[..., Site]
DAY = 86_400_000
HOUR = 3_600_000


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


def test_rules__of_a_large_intent_take_few_round_trips(server: Server, found: Found) -> None:
    """A thousand recipients, half of them held by other notifications: a handful, as for one."""
    site = found(server, rules__cooldown_ms=DAY, worker__shards=2)
    prefer(site, "u1", silenced="1")
    client: Any = site.notifier._client
    trips: list[int] = []
    run_all = client.run_all

    def counted(*asked: Any) -> Any:
        trips.append(1)
        return run_all(*asked)

    client.run_all = counted
    for count in (1, 1000):
        users = [f"user-{n}" for n in range(count)]
        told(site, *users[::2])
        trips.clear()
        told(site, *users)
        assert len(trips) <= 6


def test_reasons__all_have_words() -> None:
    """Whoever looks at a skipped route is told what the reason means."""
    assert set(SKIPPED_WHY) == {str(reason) for reason in Reason} | {COOLDOWN}


@pytest.mark.parametrize("settings", [{}, {"rules__cooldown_ms": 60_000}])
def test_first_preference__is_obeyed_by_what_others_overtook(
    settings: dict[str, Any], server: Server, found: Found
) -> None:
    """What did not know of preferences when it began is told so by Redis, also after its rules."""
    site = found(server, **settings)
    client = site.notifier._client
    key_space = client.key_space()
    planned = plan(Intent.parse({**PLAIN, "recipients": ["u1"]}), key_space.shared, site.now(), "")

    def overtaken() -> Flow[Accepted]:
        """Have the first preference set while the flow waits for its first answers."""
        flow = accept_flow(key_space, [planned], preferences_exist=False)
        request = next(flow)
        prefer(site, "u1", silenced="1")
        try:
            while True:
                request = flow.send((yield request))
        except StopIteration as stop:
            done: Accepted = stop.value
        return done

    done = client.run_flow(overtaken())
    (receipt,) = done.receipts
    assert isinstance(receipt, Receipt)
    assert outcomes(site, receipt.notification_id or "") == {"push:u1": "silenced"}
    assert done.preferences_exist


def test_rules__pass_over_what_is_no_notification(server: Server, found: Found) -> None:
    """A stranger's key in the place of one that was handed in before holds up nobody."""
    site = found(server, rules__cooldown_ms=DAY)
    site.whole = False
    fields = {"collapse_key": "score", "idempotency_key": "once"}
    before = told(site, "u1", **fields)
    site.client.delete(site.keys.notification(before))
    site.client.set(site.keys.notification(before), "foreign")
    reserved = Reservation("u1", before, 0, None)
    site.client.delete(site.keys.cooldown("chat", "u1"))
    run_sync(site.client, cooldown_reserve(site.keys, "chat", DAY, [reserved], site.now() - 61_000))
    repeat = {**PLAIN, "recipients": ["u1"], "type": "chat", **fields}
    other = {**PLAIN, "recipients": ["u1"], "type": "chat", "collapse_key": "score"}
    with pytest.raises(Unavailable) as raised:
        site.notifier.accept_many([repeat, other])
    first, second = raised.value.receipts
    assert first is None
    assert second is not None
    assert second.status == "accepted"
