"""Channels with a delay: when their routes are due, on every way in, and with every rule."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.model.route import Status
from galaxy_notify.redis_state.shared_settings import SharedSettings
from tests.support.delays import BOTH, DELAY_MS, DELAYED, due_times, lateness
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.rules import outcomes, prefer, told
from tests.support.servers import Server

HOUR = 3_600_000
DAY = 24 * HOUR


def _quiet_around(deployment: DeploymentFixture, at_ms: int, user: str = "u1") -> int:
    """Have a user be quiet from an hour before a moment to an hour behind it; return the end."""
    minute = at_ms // 60_000 % 1440
    begin, end = ((minute + by) % 1440 for by in (-60, 60))
    clock = [f"{at // 60:02}:{at % 60:02}" for at in (begin, end)]
    prefer(deployment, user, quiet={"from": clock[0], "to": clock[1], "zone": "UTC"})
    return (at_ms // 60_000 + 60) * 60_000


def test_meta__has_what_producers_need(server: Server, deploy: Deploy) -> None:
    """Which channels are external, and their delays; a deployment without any has neither."""
    deployment = deploy(server, **DELAYED)
    meta: Any = deployment.client.hgetall(deployment.keys.meta)
    assert (meta[b"external"], meta[b"delays"]) == (
        b"email,webhook",
        f"webhook={DELAY_MS}".encode(),
    )
    found = SharedSettings.from_meta(meta)
    assert (found.external, found.delay_of("webhook"), found.delay_of("email")) == (
        ("email", "webhook"),
        DELAY_MS,
        0,
    )


def test_delay__is_counted_from_the_due_time(server: Server, deploy: Deploy) -> None:
    """Of the server's clock at the accept, or of the intent; in the past means now here too."""
    deployment = deploy(server, **DELAYED)
    made = told(deployment, "u1", "u2", **BOTH)
    assert lateness(deployment, made) == {"in_app:u1": 0, "in_app:u2": 0} | {
        "webhook:u1": DELAY_MS,
        "webhook:u2": DELAY_MS,
    }
    later = deployment.now() + HOUR
    made = told(deployment, "u1", due_at=later, **BOTH)
    assert due_times(deployment, made) == {"in_app:u1": later, "webhook:u1": later + DELAY_MS}
    made = told(deployment, "u1", due_at=10**12, **BOTH)
    assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": DELAY_MS}
    made = told(deployment, "u1", channels=["email"])
    assert lateness(deployment, made) == {"email:u1": 0}


def test_delay__by_the_clock_of_the_server(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer whose clock is wrong, or that hands in what it kept for long, changes nothing."""
    deployment = deploy(server, **DELAYED)
    for wrong_ms in (-DAY, DAY):
        monkeypatch.setattr(
            deployment.notifier._client, "now_ms", lambda by=wrong_ms: deployment.now() + by
        )
        made = told(deployment, "u1", **BOTH)
        assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": DELAY_MS}


def test_delay__of_default_and_preferred_channels(server: Server, deploy: Deploy) -> None:
    """However a channel came to be one of the recipient's."""
    deployment = deploy(server, **DELAYED, rules__default_channels=["in_app", "webhook"])
    with Notifier.from_url(server.url, prefix=deployment.settings.redis.prefix) as other:
        made = other.accept({"type": "t", "producer": "p", "recipients": ["u1"]}).notification_id
    assert lateness(deployment, made or "") == {"in_app:u1": 0, "webhook:u1": DELAY_MS}
    prefer(deployment, "u2", every={"channels": ["push", "webhook"]})
    made = deployment.notifier.accept(
        {"type": "t", "producer": "p", "recipients": ["u2"]}
    ).notification_id
    assert lateness(deployment, made or "") == {
        "in_app:u2": 0,
        "push:u2": 0,
        "webhook:u2": DELAY_MS,
    }


def test_expiry__before_the_delay_ends(server: Server, deploy: Deploy) -> None:
    """Only the delayed route is skipped, counted and explained, with and without rules."""
    deployment = deploy(server, **DELAYED)
    for users in (1, 2):
        end = deployment.now() + DELAY_MS // 2
        made = told(deployment, "u1", expires_at=end, **BOTH)
        assert outcomes(deployment, made) == {"in_app:u1": "pending", "webhook:u1": "expires_first"}
        assert deployment.totals()["skipped:expires_first"] == users
        prefer(deployment, "u2", silenced="1")
    end = deployment.now() + DELAY_MS + HOUR
    made = told(deployment, "u1", expires_at=end, **BOTH)
    assert outcomes(deployment, made) == {"in_app:u1": "pending", "webhook:u1": "pending"}
    made = told(deployment, "u1", channels=["webhook"], expires_at=deployment.now() + DELAY_MS // 2)
    assert outcomes(deployment, made) == {"webhook:u1": "expires_first"}


def test_quiet_hours__are_asked_before_and_behind_the_delay(server: Server, deploy: Deploy) -> None:
    """It begins when they end; where it ends in quiet hours, they defer once more."""
    quiet: dict[str, Any] = {"rules__quiet_channels": ["webhook"]}
    deployment = deploy(server, **DELAYED, **quiet)
    ends = _quiet_around(deployment, deployment.now())
    made = told(deployment, "u1", **BOTH)
    assert due_times(deployment, made)["webhook:u1"] == ends + DELAY_MS
    assert lateness(deployment, made)["in_app:u1"] == 0
    critical = told(deployment, "u1", severity="critical", **BOTH)
    assert lateness(deployment, critical)["webhook:u1"] == DELAY_MS
    later = deployment.now() + DAY
    ends = _quiet_around(deployment, later + DELAY_MS + 61 * 60_000)
    begins = ends - 2 * HOUR
    before = told(deployment, "u1", due_at=begins - DELAY_MS - 1, **BOTH)
    assert due_times(deployment, before)["webhook:u1"] == begins - 1
    within = told(deployment, "u1", due_at=begins - DELAY_MS, **BOTH)
    assert due_times(deployment, within)["webhook:u1"] == ends
    late = told(deployment, "u1", due_at=begins - DELAY_MS, expires_at=ends, **BOTH)
    assert outcomes(deployment, late)["webhook:u1"] == "quiet_hours"


def test_repeat__keeps_the_first_due_time(server: Server, deploy: Deploy) -> None:
    """A duplicate moves nothing, whatever the delay is by then; the content is the same."""
    deployment = deploy(server, **DELAYED, limits__max_routes=3)
    users = [f"u{number}" for number in range(5)]
    keyed = {**PLAIN, "recipients": users, "idempotency_key": "k", **BOTH}
    first = deployment.notifier.accept(keyed)
    assert (first.status, first.routes, first.parts) == ("accepted", 10, 4)
    made = id_for_key(PLAIN["producer"], "k")
    before = due_times(deployment, made)
    late = lateness(deployment, made)
    assert late == {f"in_app:{user}": 0 for user in users} | {
        f"webhook:{user}": DELAY_MS for user in users
    }
    deployment.client.hset(deployment.keys.meta, "delays", "webhook=7")
    with Notifier.from_url(server.url, prefix=deployment.settings.redis.prefix) as other:
        assert other.accept(keyed).status == "duplicate"
    assert due_times(deployment, made) == before


def test_cancelled__before_it_was_accepted(server: Server, deploy: Deploy) -> None:
    """A delayed route is born cancelled like the others; so is one of a later part."""
    deployment = deploy(server, **DELAYED, limits__max_routes=1)
    keyed = {**PLAIN, "recipients": ["u1"], "idempotency_key": "k", **BOTH}
    made = deployment.notifier.accept(keyed).notification_id or ""
    assert deployment.notifier.cancel(made).cancelled == 2
    assert set(outcomes(deployment, made).values()) == {"cancelled"}
    assert deployment.due("webhook") == {}


def test_cooldown__begins_with_the_first_delivery(server: Server, deploy: Deploy) -> None:
    """A delayed one alone is due later, so what comes at once is not held by it."""
    deployment = deploy(server, **DELAYED, rules__cooldown_ms=DELAY_MS // 2)
    first = told(deployment, "u1", channels=["webhook"])
    again = told(deployment, "u1", channels=["webhook"])
    at_once = told(deployment, "u1", **BOTH)
    assert outcomes(deployment, first) == {"webhook:u1": "pending"}
    assert outcomes(deployment, again) == {"webhook:u1": "cooldown"}
    assert outcomes(deployment, at_once) == {"in_app:u1": "pending", "webhook:u1": "pending"}
    assert set(outcomes(deployment, told(deployment, "u1", **BOTH)).values()) == {"cooldown"}


def test_worker__finds_a_delayed_route_at_its_time(server: Server, deploy: Deploy) -> None:
    """Not before; a retry and a replay are not delayed again."""
    deployment = deploy(server, **DELAYED)
    made = told(deployment, "u1", **BOTH)
    route = deployment.route(f"{made}/webhook:u1")
    assert route.status is Status.PENDING
    assert deployment.due("webhook") == {f"{made}/webhook:u1": route.due_at_ms}
    assert deployment.worker_harness().step() == 1
    assert outcomes(deployment, made) == {"in_app:u1": "published", "webhook:u1": "pending"}
