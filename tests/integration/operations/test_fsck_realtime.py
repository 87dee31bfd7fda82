"""``fsck`` finds what is wrong with recent lists, presence, inboxes and gateways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.recent import NewEvent, RecentLimits, read_delivered, user_deliver
from galaxy_notify.redis_state.unread import UserCounts, unread_mark
from tests.support.dead_letters import snapshot
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.fsck import fsck
from tests.support.recent import attend, deliver
from tests.support.registered_gateways import gateway_alive
from tests.support.servers import Server

USER = "u3"
INBOX = inbox_key("gn", "gw-1")
Plant = Callable[[DeploymentFixture], str]


def recent_key(deployment: DeploymentFixture) -> str:
    """Return the key of the recent list that is spoilt."""
    return deployment.key_space.keys_of_user(USER).recent(USER)


def presence_key(deployment: DeploymentFixture) -> str:
    """Return the key of the presence that is spoilt."""
    return deployment.key_space.keys_of_user(USER).presence(USER)


def mark_key(deployment: DeploymentFixture) -> str:
    """Return the key of the unread mark that is spoilt."""
    return deployment.key_space.keys_of_user(USER).unread(USER)


def without_version(deployment: DeploymentFixture) -> str:
    """Spoil a mark as no script does."""
    key = mark_key(deployment)
    deployment.client.hset(key, "version", "-1")
    return key


def foreign(key_of: Callable[[DeploymentFixture], str]) -> Plant:
    """Return what puts a value of another type in the place of a key."""

    def plant(deployment: DeploymentFixture) -> str:
        key = key_of(deployment)
        deployment.client.delete(key)
        deployment.client.set(key, "foreign")
        return key

    return plant


def endless(key_of: Callable[[DeploymentFixture], str]) -> Plant:
    """Return what takes the time to live of a key away."""

    def plant(deployment: DeploymentFixture) -> str:
        assert deployment.client.persist(key_of(deployment))
        return key_of(deployment)

    return plant


def spoilt(command: str, *arguments: Any) -> Plant:
    """Return what changes the recent list by a command of a client."""

    def plant(deployment: DeploymentFixture) -> str:
        key = recent_key(deployment)
        words: list[Any] = [command, key, *arguments]
        deployment.client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py
        return key

    return plant


def stale(deployment: DeploymentFixture) -> str:
    """List a gateway that has been gone for long."""
    key = deployment.keys.gateways
    deployment.client.zadd(key, {b"gw-old\xff": deployment.now() - 3_700_000})
    return key


FAULTS: dict[str, tuple[str, Plant]] = {
    "recent-foreign": ("wrong-type", foreign(recent_key)),
    "recent-endless": ("endless", endless(recent_key)),
    "recent-odd": ("bad-recent", spoilt("RPUSH", "12345678")),
    "recent-no-place": ("bad-recent", spoilt("LSET", 3, "event without a place")),
    "recent-no-id": ("bad-recent", spoilt("LSET", 2, "id")),
    "recent-hole": ("bad-recent", spoilt("LSET", 3, "e1x0.7 event")),
    "recent-two-epochs": ("bad-recent", spoilt("LSET", 3, "e2x0.2 event")),
    "recent-long": ("bad-recent", spoilt("RPUSH", *["12345678", "e1x0.4 event"] * 600)),
    "presence-foreign": ("wrong-type", foreign(presence_key)),
    "presence-endless": ("endless", endless(presence_key)),
    "mark-foreign": ("wrong-type", foreign(mark_key)),
    "mark-endless": ("endless", endless(mark_key)),
    "mark-unreadable": ("bad-mark", without_version),
    "inbox-foreign": ("wrong-type", foreign(lambda _: INBOX)),
    "inbox-endless": ("endless", endless(lambda _: INBOX)),
    "registry-foreign": ("wrong-type", foreign(lambda it: it.keys.gateways)),
    "entry-foreign": ("wrong-type", foreign(lambda it: it.keys.gateway("gw-1"))),
    "entry-endless": ("endless", endless(lambda it: it.keys.gateway("gw-1"))),
    "entry-stale": ("stale-gateway", stale),
}


def in_use(any_server: Server, deploy: Deploy) -> DeploymentFixture:
    """Return a deployment of two shards with users, connections and a gateway."""
    deployment = deploy(any_server, worker__shards=2)
    users = [f"u{number}" for number in range(200)]
    for user in users[:10]:
        deliver(deployment, user, 1, 2, 3)
        mark = [UserCounts(user, Counts(1, 1, 7, 8))]
        run_sync(deployment.client, unread_mark(deployment.key_space.keys_of_user(user), mark))
    attend(deployment, "gw-1", *users)
    gateway_alive(deployment)
    return deployment


@pytest.mark.parametrize("name", FAULTS)
def test_fault__is_found_repaired_and_gone(name: str, any_server: Server, deploy: Deploy) -> None:
    """Each is found by its code, nothing is written without --fix, and one run repairs it."""
    code, plant = FAULTS[name]
    deployment = in_use(any_server, deploy)
    assert fsck(deployment) == []
    subject = plant(deployment)
    before = snapshot(deployment.client)
    (fault,) = fsck(deployment)
    assert (fault.code, fault.subject, fault.became) == (code, subject, "found")
    assert snapshot(deployment.client) == before
    (mended,) = fsck(deployment, fix=True)
    assert (mended.code, mended.subject, mended.became) == (code, subject, "mended")
    assert fsck(deployment) == []


def test_repair__begins_a_new_epoch_for_its_user_alone(any_server: Server, deploy: Deploy) -> None:
    """What was removed is made again by the next event; the lists of others keep their place."""
    deployment = in_use(any_server, deploy)
    other = deployment.key_space.keys_of_user("u4").recent("u4")
    before = deployment.client.lrange(other, 0, -1)
    FAULTS["recent-hole"][1](deployment)
    fsck(deployment, fix=True)
    events = [NewEvent(USER, "f" * 32, b"event")]
    keys = deployment.key_space.keys_of_user(USER)
    call = user_deliver(keys, RecentLimits(100, 60_000), "e9x", events)
    (found,) = read_delivered(run_sync(deployment.client, call), events)
    assert found.cursor is not None
    assert (found.cursor.epoch[:3], found.cursor.offset) == ("e9x", 1)
    assert deployment.client.lrange(other, 0, -1) == before


def test_gateway__that_died_just_now_is_no_fault(any_server: Server, deploy: Deploy) -> None:
    """Its entry is forgotten in time: a deployment is consistent after each crash."""
    deployment = in_use(any_server, deploy)
    deployment.client.delete(deployment.keys.gateway("gw-1"), INBOX)
    assert fsck(deployment) == []


def test_looked__counts_the_keys_of_users(any_server: Server, deploy: Deploy) -> None:
    """Every key is looked at, on each of the shards."""
    from galaxy_notify.operations.fsck import Fsck

    deployment = in_use(any_server, deploy)
    run = Fsck(deployment.connected, "cli:ann@desk")
    assert list(run.run()) == []
    assert run.looked.user_keys == 10 + 10 + 200 + 1
