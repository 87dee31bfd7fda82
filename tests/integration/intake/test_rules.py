"""Rules at accept: recipients get what they want, and can be told why not."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.accept import Accepted, accept_flow
from galaxy_notify.intake.plan import plan
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.rules.cooldowns import COOLDOWN
from galaxy_notify.model.decision import Reason
from galaxy_notify.model.failure_classes import SKIPPED_AT_SEND
from galaxy_notify.model.intent import Intent
from galaxy_notify.operations.show import SKIPPED_WHY
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.reservations import Reservation, cooldown_reserve
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer, told
from tests.support.servers import Server

DAY = 86_400_000
HOUR = 3_600_000


def test_preferences__decide_route_by_route(server: Server, deploy: Deploy) -> None:
    """Each user gets what they want; whatever they do not get says why, and is counted."""
    deployment = deploy(server, worker__channels=["push", "email"])
    prefer(deployment, "quiet-one", silenced="1")
    prefer(deployment, "none", chat={"channels": []})
    prefer(deployment, "mailer", every={"channels": ["email"]})
    prefer(deployment, "busy", every={"min_severity": "warning"})
    users = ("quiet-one", "none", "mailer", "busy", "plain")
    made = told(deployment, *users, channels=["push", "email"])
    expected = {
        "quiet-one": ("silenced", "silenced"),
        "none": ("no_channels", "no_channels"),
        "mailer": ("channel_not_wanted", "pending"),
        "busy": ("below_minimum", "below_minimum"),
        "plain": ("pending", "pending"),
    }
    wanted = {f"push:{user}": push for user, (push, _) in expected.items()}
    wanted |= {f"email:{user}": mail for user, (_, mail) in expected.items()}
    assert outcomes(deployment, made) == wanted
    assert deployment.totals()["skipped"] == 7
    assert deployment.totals()["skipped:silenced"] == 2
    severe = told(deployment, "busy", severity="critical")
    assert outcomes(deployment, severe) == {"push:busy": "pending"}


def test_preferences__choose_where_the_producer_names_no_channel(
    server: Server, deploy: Deploy
) -> None:
    """Channels left out are the recipient's own choice, one or several, or the default."""
    deployment = deploy(server, worker__channels=["push", "email", "sms"])
    prefer(deployment, "mailer", chat={"channels": ["email", "sms"]})
    prefer(deployment, "stranger", chat={"channels": ["fax"]})
    intent = {**PLAIN, "type": "chat", "recipients": ["mailer", "stranger", "plain"]}
    intent.pop("channels", None)
    receipt = deployment.notifier.accept(intent)
    assert (receipt.routes, receipt.skipped) == (4, 1)
    assert outcomes(deployment, receipt.notification_id or "") == {
        "email:mailer": "pending",
        "sms:mailer": "pending",
        "push:stranger": "channel_not_wanted",
        "push:plain": "pending",
    }


def test_preferences__set_for_the_first_time_reach_running_producers(
    server: Server, deploy: Deploy
) -> None:
    """A producer that never met a preference looks at the first one at once; so do many at once."""
    deployment = deploy(server, worker__shards=4)
    told(deployment, "u1")
    prefer(deployment, "u1", silenced="1")
    assert outcomes(deployment, told(deployment, "u1", "u2")) == {
        "push:u1": "silenced",
        "push:u2": "pending",
    }
    with deployment.notifier.from_url(server.url) as other:
        many = other.accept_many({**PLAIN, "recipients": [f"u{n}"]} for n in range(20))
    assert [receipt.skipped for receipt in many] == [int(n == 1) for n in range(20)]


def test_quiet_hours__defer_what_is_not_critical(server: Server, deploy: Deploy) -> None:
    """A route waits for their end to the minute; what would expire by then is skipped."""
    deployment = deploy(server, worker__channels=["push", "email"])
    now = deployment.now()
    minute = now // 60_000 % 1440
    begin, end = (minute - 60) % 1440, (minute + 60) % 1440
    clock = [f"{at // 60:02}:{at % 60:02}" for at in (begin, end)]
    prefer(deployment, "u1", quiet={"from": clock[0], "to": clock[1], "zone": "UTC"})
    deferred = told(deployment, "u1", channels=["push", "email"])
    ends = deployment.due()[f"{deferred}/push:u1"]
    assert ends % 60_000 == 0
    assert now + 58 * 60_000 < ends <= now + 60 * 60_000
    assert deployment.due("email")[f"{deferred}/email:u1"] < now + 60_000
    critical = told(deployment, "u1", severity="critical")
    assert deployment.due()[f"{critical}/push:u1"] < now + 60_000
    late = told(deployment, "u1", expires_at=now + HOUR // 2)
    assert outcomes(deployment, late) == {"push:u1": "quiet_hours"}


def test_mandatory_type__is_silenced_by_no_preference(server: Server, deploy: Deploy) -> None:
    """What must be told is told; of the cooldowns only one of its own holds it back."""
    rules = {"rules__cooldown_ms": DAY, "rules__mandatory": ["password.reset"]}
    deployment = deploy(server, **rules)
    prefer(deployment, "u1", silenced="1", every={"channels": []})
    for _ in range(2):
        made = told(deployment, "u1", kind="password.reset")
        assert outcomes(deployment, made) == {"push:u1": "pending"}
    assert outcomes(deployment, told(deployment, "u1")) == {"push:u1": "silenced"}


def test_rules__of_a_repeat_change_nothing(server: Server, deploy: Deploy) -> None:
    """A repeat is a duplicate with the same routes; it neither loses its cooldown nor its place."""
    deployment = deploy(server, rules__cooldown_ms=DAY, limits__max_routes=3)
    prefer(deployment, "u1", silenced="1")
    users = [f"u{n}" for n in range(8)]
    intent = {**PLAIN, "recipients": users, "idempotency_key": "once"}
    first = deployment.notifier.accept(intent)
    again = deployment.notifier.accept(intent)
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert (first.routes, first.parts, first.skipped) == (8, 3, 1)
    assert (again.routes, again.parts) == (8, 3)
    assert deployment.totals()["accepted"] == 8
    words = outcomes(deployment, first.notification_id or "")
    assert words == {f"push:{u}": "silenced" if u == "u1" else "pending" for u in users}


def test_rules__of_a_large_intent_take_few_round_trips(server: Server, deploy: Deploy) -> None:
    """A thousand recipients, half of them held by other notifications: a handful, as for one."""
    deployment = deploy(server, rules__cooldown_ms=DAY, worker__shards=2)
    prefer(deployment, "u1", silenced="1")
    client: Any = deployment.notifier._client
    trips: list[int] = []
    run_all = client.run_all

    def counted(*asked: Any) -> Any:
        trips.append(1)
        return run_all(*asked)

    client.run_all = counted
    for count in (1, 1000):
        users = [f"user-{n}" for n in range(count)]
        told(deployment, *users[::2])
        trips.clear()
        told(deployment, *users)
        assert len(trips) <= 6


def test_reasons__all_have_words() -> None:
    """Whoever looks at a skipped route is told what the reason means."""
    assert set(SKIPPED_WHY) == {str(reason) for reason in Reason} | {COOLDOWN, *SKIPPED_AT_SEND}


@pytest.mark.parametrize("settings", [{}, {"rules__cooldown_ms": 60_000}])
def test_first_preference__is_obeyed_by_what_others_overtook(
    settings: dict[str, Any], server: Server, deploy: Deploy
) -> None:
    """What did not know of preferences when it began is told so by Redis, also after its rules."""
    deployment = deploy(server, **settings)
    client = deployment.notifier._client
    key_space = client.key_space()
    planned = plan(
        Intent.parse({**PLAIN, "recipients": ["u1"]}), key_space.shared, deployment.now(), ""
    )

    def overtaken() -> Flow[Accepted]:
        """Have the first preference set while the flow waits for its first answers."""
        flow = accept_flow(key_space, [planned], preferences_exist=False)
        request = next(flow)
        prefer(deployment, "u1", silenced="1")
        try:
            while True:
                request = flow.send((yield request))
        except StopIteration as stop:
            done: Accepted = stop.value
        return done

    done = client.run_flow(overtaken())
    (receipt,) = done.receipts
    assert isinstance(receipt, Receipt)
    assert outcomes(deployment, receipt.notification_id or "") == {"push:u1": "silenced"}
    assert done.preferences_exist


def test_rules__pass_over_what_is_no_notification(server: Server, deploy: Deploy) -> None:
    """A stranger's key in the place of one that was handed in before holds up nobody."""
    deployment = deploy(server, rules__cooldown_ms=DAY)
    deployment.whole = False
    fields = {"collapse_key": "score", "idempotency_key": "once"}
    before = told(deployment, "u1", **fields)
    deployment.client.delete(deployment.keys.notification(before))
    deployment.client.set(deployment.keys.notification(before), "foreign")
    reserved = Reservation("u1", before, 0, None)
    deployment.client.delete(deployment.keys.cooldown("chat", "u1"))
    run_sync(
        deployment.client,
        cooldown_reserve(deployment.keys, "chat", DAY, [reserved], deployment.now() - 61_000),
    )
    repeat = {**PLAIN, "recipients": ["u1"], "type": "chat", **fields}
    other = {**PLAIN, "recipients": ["u1"], "type": "chat", "collapse_key": "score"}
    with pytest.raises(Unavailable) as raised:
        deployment.notifier.accept_many([repeat, other])
    first, second = raised.value.receipts
    assert first is None
    assert second is not None
    assert second.status == "accepted"
