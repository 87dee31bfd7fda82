"""Retention purges the oldest dead letters, counts them, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from galaxy_notify.redis_client.connection import async_client
from galaxy_notify.redis_state.dead_retention import DeadRules, ExpiredDead, expire_dead
from galaxy_notify.redis_state.shared_settings import SharedSettings
from tests.support.dead_letters import DeadLetterFixture, dead_letter_fixture
from tests.support.servers import Server
from tests.support.wait import wait_until

HOUR_MS = 3_600_000


def expire(deployment: DeadLetterFixture, server: Server, rules: DeadRules) -> list[ExpiredDead]:
    """Do what the janitor does, until nothing more waits."""

    async def all_batches() -> list[ExpiredDead]:
        client = async_client(server.url)
        shared = SharedSettings(settled_ms=1, idempotency_ms=1)
        done: list[ExpiredDead] = []
        while not done or done[-1].more:
            keys = deployment.key_space.keys(0)
            done.append(await expire_dead(client, keys, "push", rules, shared))
        await client.aclose()
        return done

    return asyncio.run(all_batches())


def age(deployment: DeadLetterFixture, members: list[str], by_ms: int) -> None:
    """Let dead letters have died earlier."""
    now = time.time_ns() // 1_000_000
    scores = {member: now - by_ms + place for place, member in enumerate(members)}
    deployment.client.zadd(deployment.key_space.keys(0).dead("push"), scores)


def test_retention__by_default_keeps_all(server: Server) -> None:
    """Without rules no dead letter goes, however old or many."""
    with dead_letter_fixture(server) as deployment:
        age(deployment, deployment.bury(number=3), 1000 * HOUR_MS)
        assert expire(deployment, server, DeadRules(0, 0)) == [ExpiredDead()]
        assert len(deployment.dead()) == 3


def test_retention__purges_what_is_too_old(server: Server) -> None:
    """What died longer ago than allowed is purged, and what died later stays."""
    with dead_letter_fixture(server) as deployment:
        old, young = deployment.bury(number=4), deployment.bury(number=3)
        age(deployment, old, 2 * HOUR_MS)
        assert expire(deployment, server, DeadRules(HOUR_MS, 0)) == [ExpiredDead(aged=4)]
        assert set(deployment.dead()) == set(young)
        assert deployment.total("purged") == 4
        deployment.assert_conserved()


@pytest.mark.parametrize("cap", [1, 10, 300])
def test_retention__keeps_exactly_the_cap(server: Server, cap: int) -> None:
    """At the cap, the set and the notifications kept for it agree: neither one less nor more."""
    with dead_letter_fixture(server) as deployment:
        members = deployment.bury(number=600)
        age(deployment, members, HOUR_MS)
        done = expire(deployment, server, DeadRules(0, cap))
        assert sum(expired.excess for expired in done) == 600 - cap
        assert all(expired.excess <= 256 for expired in done)
        assert set(deployment.dead()) == set(members[-cap:])
        pattern = f"{deployment.key_space.keys(0).tag}notification:*"
        wait_until(
            lambda: len(deployment.client.keys(pattern)) == cap, "only the kept ones are stored"
        )
        assert expire(deployment, server, DeadRules(0, cap)) == [ExpiredDead()]
        deployment.assert_conserved()


def test_retention__tells_age_from_number(server: Server) -> None:
    """The oldest go for their age, then as many as are too many."""
    with dead_letter_fixture(server) as deployment:
        old, young = deployment.bury(number=4), deployment.bury(number=6)
        age(deployment, old, 2 * HOUR_MS)
        assert expire(deployment, server, DeadRules(HOUR_MS, 5)) == [ExpiredDead(aged=4, excess=1)]
        assert len(deployment.dead()) == 5
        assert set(deployment.dead()) < set(young)


def test_retention__is_not_held_up_by_what_it_cannot_purge(server: Server) -> None:
    """Entries that say that they are not dead stay in front, and those behind them go."""
    with dead_letter_fixture(server) as deployment:
        stuck, old = deployment.bury(number=70), deployment.bury(number=70)
        for member in stuck:
            key, route_id = deployment.record(member)
            state = deployment.state(member) or b""
            deployment.client.hset(key, route_id, state.replace(b"1d", b"1p", 1))
        age(deployment, stuck, 3 * HOUR_MS)
        age(deployment, old, 2 * HOUR_MS)
        expire(deployment, server, DeadRules(HOUR_MS, 0))
        assert set(deployment.dead()) == set(stuck)


def test_retention__gets_rid_of_damage(server: Server) -> None:
    """Vanished and foreign entries go like any other."""
    with dead_letter_fixture(server) as deployment:
        (member,) = deployment.bury()
        deployment.client.delete(deployment.record(member)[0])
        age(deployment, [member, "foreign"], 2 * HOUR_MS)
        assert expire(deployment, server, DeadRules(HOUR_MS, 0)) == [ExpiredDead(aged=2)]
        assert deployment.dead() == {}
        deployment.assert_conserved()
