"""``fsck`` finds every kind of fault, mends it, and finds none in work that goes on."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any

import pytest

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.route import Status
from galaxy_notify.redis_state.deployment import connect
from tests.support.dead_letters import ACTOR, snapshot
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.faults import BESIDE, FAULTS, in_no_channel, pending
from tests.support.fsck import ALL, CHANNELS, fsck, sound_parts
from tests.support.proxy import proxied
from tests.support.servers import Server


@pytest.mark.parametrize("name", ALL)
def test_fault__is_found_mended_and_gone(name: str, any_server: Server, deploy: Deploy) -> None:
    """Each kind is found by its code, nothing is written without --fix, and one run mends it."""
    code, plant = ALL[name]
    deployment = deploy(any_server, worker__channels=CHANNELS)
    sound_parts(deployment)
    subject = plant(deployment)
    before = snapshot(deployment.client)
    faults = fsck(deployment)
    assert (code, subject) in {(fault.code, fault.subject) for fault in faults}
    assert {fault.code for fault in faults} <= {code} | BESIDE
    assert {fault.became for fault in faults} == {"found"}
    assert snapshot(deployment.client) == before
    mended = fsck(deployment, fix=True)
    assert (code, subject) in {(fault.code, fault.subject) for fault in mended}
    assert {fault.became for fault in mended} == {"mended"}
    assert fsck(deployment) == []


def test_faults__all_at_once(any_server: Server, deploy: Deploy) -> None:
    """All kinds together are found and mended in one run; then every route can go its way."""
    deployment = deploy(any_server, worker__channels=CHANNELS)
    sound_parts(deployment)
    planted = {(code, plant(deployment)) for code, plant in ALL.values()}
    faults = fsck(deployment, fix=True)
    codes = {(fault.code, fault.subject) for fault in faults}
    # The totals agree again once the rest is mended, or are mended with it.
    assert {each for each in planted - codes if each[0] != "totals"} == set()
    assert {fault.became for fault in faults} == {"mended"}
    assert fsck(deployment) == []


def test_buried__tells_who_did_it(server: Server, deploy: Deploy) -> None:
    """A route that fsck has to bury says so in its history, and can be purged."""
    deployment = deploy(server, worker__channels=CHANNELS)
    member = FAULTS["record-missing"](deployment)
    fsck(deployment, fix=True)
    route = deployment.route(member)
    assert route.status is Status.DEAD_LETTER
    line = route.history[-1]
    assert (line.event, line.worker, line.failure_class) == (
        "dead-lettered",
        ACTOR,
        "record_missing",
    )
    assert deployment.total("dead_lettered") == 1


def test_vanished__is_noted_among_the_orphans(server: Server, deploy: Deploy) -> None:
    """What is removed because nothing is left of it can be looked up, and is counted."""
    deployment = deploy(server, worker__channels=CHANNELS)
    vanished, malformed = (FAULTS[name](deployment) for name in ("vanished", "malformed"))
    fsck(deployment, fix=True)
    assert deployment.orphans() == {vanished: "record_missing", malformed: "malformed"}
    assert (deployment.total("orphaned"), deployment.total("purged")) == (2, 1)


def test_channel__that_no_daemon_works_on_is_looked_at(server: Server, deploy: Deploy) -> None:
    """The routes of a channel that left the settings are found by their notifications."""
    deployment = deploy(server, worker__channels=CHANNELS)
    deployment.whole = False  # it counts the channels of the settings only
    member = in_no_channel(deployment)
    assert [
        (fault.code, fault.subject) for fault in fsck(deployment) if fault.code != "totals"
    ] == [("not-scheduled", member)]
    fsck(deployment, fix=True)
    assert set(deployment.due("sms")) == {member}
    assert fsck(deployment) == []


@pytest.mark.parametrize("key", ["schedule:push", "dead:push", "leases:push", "totals"])
def test_key_of_another_type__is_left(key: str, server: Server, deploy: Deploy) -> None:
    """A key that holds something else is named, left alone, and hides no other fault."""
    deployment = deploy(server, worker__channels=CHANNELS)
    deployment.whole = False
    wrong = FAULTS["wrong-channel"](deployment)
    deployment.client.delete(deployment.keys.tag + key)
    deployment.client.set(deployment.keys.tag + key, "foreign")
    deployment.client.set(deployment.keys.notification("nobody"), "foreign")
    faults = {(fault.code, fault.subject, fault.became) for fault in fsck(deployment, fix=True)}
    assert ("wrong-type", deployment.keys.tag + key, "left") in faults
    assert ("foreign-key", deployment.keys.notification("nobody"), "left") in faults
    assert deployment.client.get(deployment.keys.tag + key) == b"foreign"
    # The route of the other channel is put right, wherever it still stands.
    assert wrong in deployment.due("email")


def test_shards__are_each_looked_at(server: Server, deploy: Deploy) -> None:
    """A fault of any shard is found, and a notification in a shard that is not its own."""
    deployment = deploy(server, worker__shards=3, worker__channels=CHANNELS)
    made = [pending(deployment) for _ in range(12)]
    for keys in deployment.key_space.all_keys:
        deployment.client.delete(keys.schedule("push"))
    assert {fault.subject for fault in fsck(deployment) if fault.code == "not-scheduled"} == set(
        made
    )
    assert {fault.became for fault in fsck(deployment, fix=True)} == {"mended"}
    name = made[0].partition("/")[0]
    elsewhere = next(
        keys
        for keys in deployment.key_space.all_keys
        if keys != deployment.key_space.keys_for(name)
    )
    kept: Any = deployment.client.dump(deployment.key_space.keys_for(name).notification(name))
    deployment.client.restore(elsewhere.notification(name), 0, kept)
    faults = fsck(deployment, fix=True)
    assert [(fault.code, fault.became) for fault in faults] == [("foreign-key", "left")]
    deployment.client.delete(elsewhere.notification(name))


def test_work__is_no_fault(any_server: Server, deploy: Deploy) -> None:
    """Beside workers that publish, retry and bury, and producers that cancel, nothing is found."""
    deployment = deploy(any_server, retry__backoff_min_ms=1, retry__backoff_max_ms=5)
    runs = 0
    with deployment.worker_harness(_sometimes).running(), open_apart(deployment) as opened:
        for number in range(40):
            deployment.notifier.accept_many([_intent(number, each) for each in range(50)])
            deployment.notifier.cancel(
                deployment.notify("late", due_at=deployment.now() + 3_600_000)
            )
            if number % 4 == 0:
                assert fsck(deployment, opened=opened) == []
                assert fsck(deployment, opened=opened, fix=True) == []
                runs += 1
    assert runs == 10
    assert deployment.total("published") > 1000
    assert deployment.total("retried") > 100
    assert fsck(deployment) == []


def test_many__faults_among_very_many_routes(server: Server, deploy: Deploy) -> None:
    """A hundred faults among 20,000 routes are found, those and no others, and mended."""
    deployment = deploy(server, worker__channels=CHANNELS)
    due = deployment.now() + 3_600_000
    intents = [_intent(number, 0) | {"due_at": due} for number in range(20_000)]
    for at in range(0, len(intents), 2000):
        deployment.notifier.accept_many(intents[at : at + 2000])
    kinds = [code for code in FAULTS if code != "totals"]
    planted = Counter[str]()
    for number in range(100):
        code = kinds[number % len(kinds)]
        FAULTS[code](deployment)
        planted[code] += 1
    faults = Counter(fault.code for fault in fsck(deployment, fix=True))
    assert {code: faults[code] for code in kinds if code not in BESIDE} == {
        code: planted[code] for code in kinds if code not in BESIDE
    }
    assert fsck(deployment) == []


def test_guard__that_somebody_made_is_told(server: Server, deploy: Deploy) -> None:
    """The key that must never be there is named; it stays, so that its writer can be found."""
    deployment = deploy(server)
    deployment.client.set(deployment.keys.never, "x")
    for fix, became in ((False, "found"), (True, "left")):
        (fault,) = fsck(deployment, fix=fix)
        assert (fault.code, fault.subject, fault.became) == (
            "foreign-key",
            deployment.keys.never,
            became,
        )
    deployment.client.delete(deployment.keys.never)
    assert fsck(deployment) == []


def test_outage__that_is_short_does_not_end_it(any_server: Server, deploy: Deploy) -> None:
    """A connection that breaks under any page is opened again, and the page looked at once more."""
    deployment = deploy(any_server)
    members = {pending(deployment) for _ in range(3)}
    deployment.client.delete(deployment.keys.schedule("push"))
    deployment.load_scripts()
    with (
        proxied(any_server.socket) as proxy,
        closing(connect(deployment.settings_at(proxy.url))) as opened,
    ):
        for name in ("fsck_scan_index", "fsck_scan_notifications", "fsck_totals"):
            proxy.lose_reply(name)
            assert members <= {fault.subject for fault in fsck(deployment, opened=opened)}
        for name in ("fsck_repair", "fsck_totals"):
            proxy.lose_reply(name)
            fsck(deployment, opened=opened, fix=True)
    assert fsck(deployment) == []


def open_apart(deployment: DeploymentFixture) -> Any:
    """Open a connection of its own, to use in ``with``."""
    return closing(connect(deployment.settings))


def _intent(number: int, each: int) -> dict[str, Any]:
    recipients = [f"u{each}", f"v{each}"] if number % 3 else [f"u{each}"]
    return {"type": "game.ready", "producer": f"lobby-{number}", "recipients": recipients}


def _sometimes(notification: Any, route: Any) -> bytes:
    if route.attempts == 0 and notification.notification_id[-1] in "0123":
        raise TransientEncodingError("try again")
    if notification.notification_id[-1] == "f":
        raise ValueError("never")
    packed: bytes = notification.packed
    return packed
