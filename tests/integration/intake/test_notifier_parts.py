"""Intents of many recipients: accepted, repeated and cancelled part by part."""

from __future__ import annotations

from galaxy_notify.model.ids import id_for_key
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.servers import Server

LARGE = [f"u{n:04}" for n in range(2500)]
KEYED = {**PLAIN, "recipients": LARGE, "idempotency_key": "k"}
MADE = id_for_key("lobby", "k")


def test_large_intent__becomes_parts_over_the_shards(any_server: Server, deploy: Deploy) -> None:
    """2,500 recipients are three parts; all of them are published, and a repeat is a duplicate."""
    deployment = deploy(any_server, worker__shards=4)
    receipt = deployment.notifier.accept(KEYED)
    assert (receipt.status, receipt.routes, receipt.parts) == ("accepted", 2500, 3)
    assert receipt.notification_id == MADE
    parts = sorted({member.partition("/")[0] for member in deployment.routes()})
    assert parts == [MADE, f"{MADE}.2", f"{MADE}.3"]
    assert deployment.notifier.accept(KEYED).status == "duplicate"
    harness = deployment.worker_harness()
    while deployment.due():
        for shard in range(4):
            harness.step(shard)
    assert sorted(entry["user_id"].decode() for entry in deployment.entries()) == LARGE


def test_large_intent__interrupted_between_parts_is_completed_by_a_repeat(
    any_server: Server, deploy: Deploy
) -> None:
    """Parts that a dying producer did not hand in are handed in by its repeat, and only those."""
    deployment = deploy(any_server, worker__shards=4)
    deployment.notifier.accept(KEYED)
    # As if the second part had never been sent.
    unsend(deployment, f"{MADE}.2")
    repeat = deployment.notifier.accept(KEYED)
    assert (repeat.status, repeat.routes, repeat.parts) == ("duplicate", 2500, 3)
    assert len(deployment.due()) == 2500
    assert deployment.total("accepted") == 2500


def test_large_intent__cancelled_between_parts_is_born_cancelled(
    any_server: Server, deploy: Deploy
) -> None:
    """Parts that arrive after the cancel are never published."""
    deployment = deploy(any_server, worker__shards=4)
    deployment.notifier.accept(KEYED)
    unsend(deployment, f"{MADE}.3")
    assert deployment.notifier.cancel(MADE).cancelled == 2000
    assert deployment.notifier.accept(KEYED).status == "duplicate"
    assert set(deployment.statuses().values()) == {"cancelled"}
    assert deployment.due() == {}
    assert deployment.total("cancelled") == 2500


def test_large_intent__cancelled_long_ago_stays_so_in_its_parts(
    any_server: Server, deploy: Deploy
) -> None:
    """The first part decides for those that follow, also where their own mark is gone."""
    deployment = deploy(any_server, worker__shards=4)
    deployment.notifier.accept(KEYED)
    assert deployment.notifier.cancel(MADE).cancelled == 2500
    keys = deployment.key_space.keys_for(f"{MADE}.3")
    deployment.client.delete(keys.notification(f"{MADE}.3"))
    for total in ("accepted", "cancelled"):
        deployment.client.hincrby(keys.totals, total, -500)
    assert deployment.notifier.accept(KEYED).status == "duplicate"
    assert set(deployment.statuses().values()) == {"cancelled"}
    assert len(deployment.routes()) == 2500


def test_large_intent__is_cancelled_as_a_whole(any_server: Server, deploy: Deploy) -> None:
    """Cancel acts on all parts; naming a part takes back that part alone."""
    deployment = deploy(any_server, worker__shards=4)
    made = deployment.notify(*LARGE)
    assert deployment.notifier.cancel(f"{made}.2").cancelled == 1000
    done = deployment.notifier.cancel(made)
    assert (done.cancelled, done.too_late) == (2500, 0)
    assert deployment.due() == {}


def unsend(deployment: DeploymentFixture, part: str) -> None:
    """Leave Redis as if a part had never been sent."""
    keys = deployment.key_space.keys_for(part)
    routes = [member for member in deployment.due() if member.startswith(f"{part}/")]
    deployment.client.delete(keys.notification(part))
    deployment.client.zrem(keys.schedule("push"), *routes)
    deployment.client.hincrby(keys.totals, "accepted", -len(routes))
