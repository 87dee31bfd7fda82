"""Delays of what is rescheduled, retried and replayed, and of what supersedes another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from galaxy_notify import AsyncNotifier
from galaxy_notify.intake.rules import collapse, inheritance
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from tests.support.delays import BOTH, DELAY_MS, DELAYED, due_times, lateness
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer, told
from tests.support.servers import Server

HOUR = 3_600_000
MINUTE = 60_000
KEYED: dict[str, Any] = {**BOTH, "collapse_key": "unread"}


def _due(deployment: DeploymentFixture, made: str, user: str = "u1") -> int:
    return due_times(deployment, made)[f"webhook:{user}"]


def _sooner(deployment: DeploymentFixture, made: str, due_ms: int, user: str = "u1") -> int:
    """Write an earlier due time into a waiting route."""
    member = f"{made}/webhook:{user}"
    keys = deployment.key_space.keys_for(made)
    state: Any = deployment.client.hget(keys.notification(made), f"webhook:{user}")
    deployment.client.hset(
        keys.notification(made), f"webhook:{user}", state[:15] + b"%013d" % due_ms + state[28:]
    )
    deployment.client.zadd(keys.schedule("webhook"), {member: due_ms})
    return due_ms


def test_reschedule__keeps_the_delay(server: Server, deploy: Deploy) -> None:
    """Of the whole notification and of one route; in the past means now; the expiry is later."""
    deployment = deploy(server, **DELAYED, worker__shards=2)
    made = told(deployment, "u1", "u2", expires_at=deployment.now() + 5 * HOUR, **BOTH)
    later = deployment.now() + HOUR
    assert deployment.notifier.reschedule(made, later).moved == 4
    assert due_times(deployment, made) == {
        f"{channel}:{user}": later + delay_ms
        for user in ("u1", "u2")
        for channel, delay_ms in (("in_app", 0), ("webhook", DELAY_MS))
    }
    hash_key = deployment.key_space.keys_for(made).notification(made)
    assert deployment.client.hget(hash_key, "due") == str(later).encode()
    assert deployment.notifier.reschedule(f"{made}/webhook:u1", later + HOUR).moved == 1
    assert _due(deployment, made) == later + HOUR + DELAY_MS
    assert deployment.notifier.reschedule(made, 10**12).moved == 4
    assert lateness(deployment, made) == {
        "in_app:u1": 0,
        "in_app:u2": 0,
        "webhook:u1": DELAY_MS,
        "webhook:u2": DELAY_MS,
    }


def test_reschedule__again_after_a_lost_reply(server: Server, deploy: Deploy) -> None:
    """The same time moves nothing a second time, and counts as done."""
    deployment = deploy(server, **DELAYED)
    made, later = told(deployment, "u1", **BOTH), deployment.now() + HOUR
    for _ in range(2):
        assert deployment.notifier.reschedule(made, later).moved == 2
    history = deployment.route(f"{made}/webhook:u1").history
    assert [line.event for line in history] == ["rescheduled"]


def test_reschedule__beyond_the_expiry_of_a_delayed_route(server: Server, deploy: Deploy) -> None:
    """The other routes are moved all the same; the delayed one expires while it waits."""
    deployment = deploy(server, **DELAYED)
    end = deployment.now() + HOUR
    made = told(deployment, "u1", expires_at=end, **BOTH)
    assert deployment.notifier.reschedule(made, end - DELAY_MS // 2).moved == 2
    assert _due(deployment, made) == end + DELAY_MS // 2


def test_replay__is_not_delayed(server: Server, deploy: Deploy) -> None:
    """A dead letter has waited already: it is due at once."""
    deployment = deploy(server, **DELAYED)
    (member,) = deployment.bury(["webhook:u1"])
    deployment.replay(member)
    route = deployment.route(member)
    assert route.due_at_ms == route.at_ms
    assert deployment.due("webhook") == {member: route.due_at_ms}


def test_collapse__inherits_the_earlier_due_time(server: Server, deploy: Deploy) -> None:
    """A stream of notifications that supersede each other postpones nothing, for each user."""
    deployment = deploy(server, **DELAYED, worker__shards=2)
    first = told(deployment, "u1", "u2", **KEYED)
    early = _sooner(deployment, first, deployment.now() + MINUTE)
    made = first
    for _ in range(4):
        newer = told(deployment, "u1", "u3", **KEYED)
        assert outcomes(deployment, made)["webhook:u1"] == "cancelled"
        made = newer
    assert _due(deployment, made) == early
    assert lateness(deployment, made)["webhook:u3"] < DELAY_MS
    assert lateness(deployment, made)["in_app:u1"] == 0
    assert outcomes(deployment, first)["webhook:u2"] == "pending"


def test_collapse__inherits_no_later_due_time(server: Server, deploy: Deploy) -> None:
    """What waits for tomorrow does not hold up what is accepted now."""
    deployment = deploy(server, **DELAYED)
    told(deployment, "u1", due_at=deployment.now() + HOUR, **KEYED)
    made = told(deployment, "u1", **KEYED)
    assert lateness(deployment, made)["webhook:u1"] == DELAY_MS
    later = told(deployment, "u1", due_at=deployment.now() + HOUR, **KEYED)
    assert _due(deployment, later) == _due(deployment, made)


def test_collapse__inherits_nothing_from_what_has_ended(server: Server, deploy: Deploy) -> None:
    """Cancelled by hand, another key, another user, or another producer."""
    deployment = deploy(server, **DELAYED)
    early = deployment.now() + MINUTE
    cancelled = told(deployment, "u1", **KEYED)
    _sooner(deployment, cancelled, early)
    deployment.notifier.cancel(cancelled)
    for fields in (KEYED, {**KEYED, "collapse_key": "other"}, {**KEYED, "producer": "other"}):
        made = told(deployment, "u1", **fields)
        assert lateness(deployment, made)["webhook:u1"] == DELAY_MS
    _sooner(deployment, made, early)
    again = told(deployment, "u2", **KEYED, producer="other")
    assert lateness(deployment, again)["webhook:u2"] == DELAY_MS


def test_collapse__inherits_a_due_time_that_has_come(server: Server, deploy: Deploy) -> None:
    """A channel that is paused or slow starves nobody; what is being sent hands on nothing."""
    deployment = deploy(server, **DELAYED)
    first = told(deployment, "u1", **KEYED)
    _sooner(deployment, first, deployment.now() - HOUR)
    second = told(deployment, "u1", **KEYED)
    assert lateness(deployment, second)["webhook:u1"] == 0
    limits = leases.ClaimLimits(1, 600_000, 4 << 20, 300_000, 0)
    token = f"host-1-abcd:9:600000:{deployment.now()}"
    call = leases.route_claim(deployment.keys, "webhook", token, limits, alone=False, now=None)
    claim = leases.read_claim(run_sync(deployment.client, call), token)
    assert [member.member.decode() for member in claim.members] == [f"{second}/webhook:u1"]
    third = told(deployment, "u1", **KEYED)
    assert lateness(deployment, third)["webhook:u1"] == DELAY_MS
    assert outcomes(deployment, second)["webhook:u1"] == "cancelled"


def test_collapse__through_what_is_only_being_accepted(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are recorded as newer, and refused or not accepted yet: nothing is lost."""
    deployment = deploy(server, **DELAYED)
    first = told(deployment, "u1", **KEYED)
    early = _sooner(deployment, first, deployment.now() + MINUTE)
    with monkeypatch.context() as patched:
        # Dies behind the record of its order.
        patched.setattr(inheritance, "_read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        for _ in range(5):
            with pytest.raises(KeyboardInterrupt):
                told(deployment, "u1", **KEYED)
    made = told(deployment, "u1", **KEYED)
    assert _due(deployment, made) == early


def test_collapse__of_what_is_superseded_meanwhile(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one takes back between both reads still hands on its due time."""
    deployment = deploy(server, **DELAYED)
    first = told(deployment, "u1", **KEYED)
    early = _sooner(deployment, first, deployment.now() + MINUTE)
    member = f"{first}/webhook:u1"
    route = deployment.route(member)
    keys = deployment.key_space.keys_for(first)
    state = route.cancelled(f"{collapse.SUPERSEDED_BY}{'f' * 32}")
    stamped = state[:2] + b"%013d" % deployment.now() + state[15:]
    deployment.client.hset(keys.notification(first), "webhook:u1", stamped)
    deployment.client.hincrby(keys.notification(first), "open", -1)
    deployment.client.hincrby(keys.totals, "cancelled", 1)
    deployment.client.zrem(keys.schedule("webhook"), member)
    assert _due(deployment, told(deployment, "u1", **KEYED)) == early


def test_collapse__asks_the_quiet_hours_of_the_newer_one(server: Server, deploy: Deploy) -> None:
    """What is critical may be due in them; what supersedes it and is not, waits for their end."""
    quiet: dict[str, Any] = {"rules__quiet_channels": ["webhook"]}
    deployment = deploy(server, **DELAYED, **quiet)
    minute = deployment.now() // MINUTE % 1440
    begin, end = ((minute + by) % 1440 for by in (-60, 60))
    clock = [f"{at // 60:02}:{at % 60:02}" for at in (begin, end)]
    prefer(deployment, "u1", quiet={"from": clock[0], "to": clock[1], "zone": "UTC"})
    critical = told(deployment, "u1", severity="critical", **KEYED)
    assert lateness(deployment, critical)["webhook:u1"] == DELAY_MS
    made = told(deployment, "u1", **KEYED)
    due_ms = _due(deployment, made)
    assert due_ms % MINUTE == 0
    assert due_ms > _due(deployment, critical) + HOUR // 2


def test_collapse__in_parts_and_many_at_once(server: Server, deploy: Deploy) -> None:
    """Each of many users inherits its own; the last of many simultaneous ones as well."""
    deployment = deploy(server, **DELAYED, worker__shards=2, limits__max_routes=3)
    users = [f"u{number}" for number in range(7)]
    first = told(deployment, *users, **KEYED)
    parts = {route_id: part for part, route_id in _places(deployment, first)}
    early = {}
    for number, user in enumerate(users):
        at = deployment.now() + (number + 1) * 10_000
        early[user] = _sooner(deployment, parts[f"webhook:{user}"], at, user)

    async def many() -> list[str]:
        async with AsyncNotifier(deployment.settings) as notifier:
            intent = {**PLAIN, "type": "chat", "recipients": users, **KEYED}
            receipts = await asyncio.gather(*(notifier.accept(intent) for _ in range(12)))
        return [receipt.notification_id or "" for receipt in receipts]

    made = asyncio.run(many())
    waiting = {
        member.partition(":")[2]: route.due_at_ms
        for member, route in deployment.routes().items()
        if "/webhook:" in member and route.status == "pending"
    }
    assert waiting == early
    assert len(made) == 12


def _places(deployment: DeploymentFixture, made: str) -> list[tuple[str, str]]:
    places = [member.partition("/")[::2] for member in deployment.routes()]
    return [(part, route) for part, route in places if part.partition(".")[0] == made]
