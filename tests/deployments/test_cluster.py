"""A deployment on a Redis Cluster: shards over all nodes, a node down, slots that move."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from galaxy_notify.gateway import Event, GatewayConsumer
from galaxy_notify.intake import shared_calls
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.model.ids import shard_of
from galaxy_notify.redis_state.keys import Keys
from tests.support.clusters import Cluster, clustered
from tests.support.command import CommandLine
from tests.support.daemons import daemon_on
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intake import intent, read_until
from tests.support.intents import PLAIN
from tests.support.load import load_on
from tests.support.roads import Road, every_road, road_of
from tests.support.servers import each_server
from tests.support.telemetry import Lines, json_logs
from tests.support.wait import HANG_S, wait_until

pytestmark = pytest.mark.extended

SHARDS = 6
DEPLOYMENT = {"redis__cluster": True, "worker__shards": SHARDS}


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs("info") as read:
        yield read


@pytest.fixture
def deploy(cluster: Cluster, lines: Lines) -> Iterator[Deploy]:
    """Found a deployment of six shards."""
    del lines
    with ExitStack() as stack:

        def make(**settings: Any) -> DeploymentFixture:
            cluster.wait_until_well()
            cluster.flush()
            deployment = DeploymentFixture(cluster.url, **DEPLOYMENT, **settings)
            stack.callback(deployment.close)
            stack.callback(deployment.assert_sound)
            return deployment

        yield make


def command_on(cluster: Cluster) -> CommandLine:
    """Return the command line of an operator of this deployment."""
    return CommandLine(cluster.url, {"REDIS__CLUSTER": "true", "WORKER__SHARDS": str(SHARDS)})


def test_cluster__carries_routes_over_all_its_nodes(cluster: Cluster, deploy: Deploy) -> None:
    """A daemon, producers and a consumer use all shards; every event is handed over once."""
    deployment = deploy()
    assert len({cluster.owner(keys.stream).port for keys in deployment.key_space.all_keys}) > 1
    handled: Counter[str] = Counter()

    async def consume() -> None:
        async with (
            GatewayConsumer(deployment.settings, group="gateway", consumer="gw-1") as consumer,
            AsyncNotifier(deployment.settings) as notifier,
        ):

            async def handler(event: Event) -> None:
                handled[event.event_id] += 1
                if len(handled) == 300:
                    consumer.stop()

            running = asyncio.create_task(consumer.run(handler))
            intents = [
                {"type": "t", "producer": "p", "recipients": [f"u{n}", f"v{n}"]} for n in range(150)
            ]
            receipts = await notifier.accept_many(intents)
            assert {receipt.status for receipt in receipts} == {"accepted"}
            async with asyncio.timeout(HANG_S):
                await running

    with daemon_on(cluster.nodes[0], variables=_variables(cluster), **DEPLOYMENT) as daemon:
        daemon.wait_for("daemon working")
        asyncio.run(consume())
    assert set(handled.values()) == {1}
    assert sorted(handled) == sorted(deployment.event_ids())


def test_cluster__operators_commands_see_all_shards(cluster: Cluster, deploy: Deploy) -> None:
    """Each command adds up what lies on all nodes, and writes where it belongs."""
    deployment = deploy(retry__max_attempts=1)
    command = command_on(cluster)
    made = [deployment.notify(f"u{n}") for n in range(30)]
    assert command.run("cancel", made[0]).exit_code == 0
    assert command.run("reschedule", made[1], "2020-01-01T00:00:00Z").exit_code == 0
    listed = command.run("list", "--state", "open", "--json").stdout.splitlines()
    assert {json.loads(line)["notification_id"] for line in listed} == set(made[1:])
    broken = deployment.worker_harness(_refuse)
    for shard in range(SHARDS):
        broken.step(shard=shard)
    status = command.told("status")
    assert status["shards"] == SHARDS
    assert status["channels"]["push"]["dead"] == 29
    assert len(status["streams"]) == SHARDS
    dead = [json.loads(line) for line in command.run("dead", "ls", "--json").stdout.splitlines()]
    assert sorted(letter["recipient"] for letter in dead) == sorted(f"u{n}" for n in range(1, 30))
    assert command.run("dead", "replay", "--all", "--yes").exit_code == 0
    for shard in range(SHARDS):
        deployment.worker_harness().step(shard=shard)
    tail = command.run("stream", "tail", "-n", "100", "--json").stdout.splitlines()
    assert len(tail) == 29
    assert command.told("show", made[5])["routes"][0]["status"] == "published"
    for check in ("fsck", "doctor"):
        done = command.run(check)
        assert done.exit_code == 0, done.output
    assert command.run("pause", "push").exit_code == 0
    assert command.told("status")["channels"]["push"]["paused"] is True
    assert command.run("resume", "push").exit_code == 0


def test_cluster__a_shard_that_is_down_holds_up_no_other(
    cluster: Cluster, deploy: Deploy, road: Road
) -> None:
    """While a node and its replica are away the other shards go on; theirs wait, and are kept."""
    deployment = deploy(worker__lease_ttl_ms=1000, worker__max_abandoned=100, worker__publish=road)
    down = cluster.owner(deployment.keys.stream)
    gone = [node for node in cluster.nodes if node is down or cluster.follows(node, down)]
    served = [k for k in deployment.key_space.all_keys if cluster.owner(k.stream) is not down]
    with deployment.worker_harness().running():
        waiting = [deployment.notify(f"u{n}") for n in range(30)]
        wait_until(lambda: not deployment.due(), "all are published")
        for node in gone:
            node.kill()
        receipts = [_try(deployment, f"w{n}") for n in range(15)]
        there = [
            name for name in receipts if name and deployment.key_space.keys_for(name) in served
        ]
        assert there
        wait_until(lambda: _published(deployment, served) >= len(there), "the others go on")
        for node in gone:
            node.start()
        cluster.wait_until_well()
        more = [deployment.notify(f"x{n}") for n in range(30)]
        wait_until(lambda: not deployment.due(), "all are published")
    assert {*waiting, *filter(None, receipts), *more} <= {
        name[:32] for name in deployment.event_ids()
    }


def test_cluster__a_node_that_hangs_holds_up_only_its_own_accepts(
    cluster: Cluster, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks share calls by shard: those of the other nodes return while one answers nothing."""
    monkeypatch.setattr(shared_calls, "_LONGEST_WAIT_S", HANG_S)  # only shards keep calls apart
    deployment = deploy()
    hung = cluster.owner(deployment.keys.stream)
    intents = [{**PLAIN, "idempotency_key": str(number)} for number in range(60)]

    async def run() -> None:
        async with AsyncNotifier(deployment.settings) as notifier:
            receipts = await asyncio.gather(*map(notifier.accept, intents))
            keys = [deployment.key_space.keys_for(str(one.notification_id)) for one in receipts]
            others = [n for n, key in enumerate(keys) if cluster.owner(key.stream) is not hung]
            hung.pause()
            tasks = [asyncio.ensure_future(notifier.accept(one)) for one in intents]
            with ExitStack() as paused:
                paused.callback(hung.resume)
                receipts = await asyncio.gather(*(tasks[n] for n in others))
            assert {receipt.status for receipt in receipts} == {"duplicate"}
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    cluster.wait_until_well()


@pytest.mark.slow
def test_cluster__a_replica_takes_over(cluster: Cluster, deploy: Deploy, road: Road) -> None:
    """After the death of a primary its replica serves the shard, and the work goes on."""
    deployment = deploy(
        redis__durability="replicas:1", worker__lease_ttl_ms=1000, worker__publish=road
    )
    harness = deployment.worker_harness()
    with load_on(deployment.settings) as load, harness.running():
        load.wait_for_more(50)
        primary = cluster.owner(deployment.keys.stream)
        primary.kill()
        cluster.taken_over(deployment.keys.stream, primary)
        primary.start()
        cluster.wait_until_well()
        load.wait_for_more(50)
    with deployment.worker_harness().running():
        wait_until(lambda: not deployment.due(), "all are published")
    assert set(load.accepted) <= {name[:32] for name in deployment.event_ids()}
    assert set(load.published) <= set(deployment.event_ids())


@every_road
def test_cluster__moving_slots_lose_and_double_nothing(
    cluster: Cluster, deploy: Deploy, road: Road
) -> None:
    """Under load a shard moves to another node and back, several times."""
    deployment = deploy(worker__lease_ttl_ms=1000, worker__max_abandoned=100)
    keys: Keys = deployment.keys
    workers = [deployment.worker_harness(worker__publish=road_of(road, n)) for n in range(2)]
    with workers[0].running(), workers[1].running():
        with load_on(deployment.settings) as load:
            for _ in range(4):
                load.wait_for_more(30)
                # A crowd of routes, so that the slot moves while they are published.
                crowd = [{**PLAIN, "recipients": [f"u{n}" for n in range(200)]}] * 30
                deployment.notifier.accept_many(crowd)
                cluster.move_slot(keys.stream, cluster.other_primary(cluster.owner(keys.stream)))
            load.wait_for_more(50)
        wait_until(lambda: not deployment.due(), "all are published")
    events = deployment.event_ids()
    assert set(load.accepted) <= {name[:32] for name in events}
    assert set(load.published) <= set(events)
    assert deployment.total("published") == deployment.total("accepted") == len(events)
    assert len(set(events)) == len(events)
    assert all(route.attempts == 0 for route in deployment.routes().values())


def test_cluster__a_moved_slot_is_no_lost_confirmation(cluster: Cluster, deploy: Deploy) -> None:
    """What the old node refused is written by the new one, there and back, and confirmed there."""
    deployment = deploy(redis__durability="replicas:1")
    keys: Keys = deployment.keys
    for number in range(3):
        deployment.notifier.accept_many([{**PLAIN, "recipients": [f"u{n}"]} for n in range(20)])
        assert deployment.total("accepted") == 20 * (number + 1)
        cluster.move_slot(keys.stream, cluster.other_primary(cluster.owner(keys.stream)))


def _refuse(*_: object) -> bytes:
    raise ValueError("no")


def _try(deployment: DeploymentFixture, recipient: str) -> str:
    try:
        return deployment.notify(recipient)
    except Exception:
        return ""


def _published(deployment: DeploymentFixture, served: list[Keys]) -> int:
    return sum(int(deployment.client.xlen(keys.stream)) for keys in served)


def _variables(cluster: Cluster) -> dict[str, str]:
    return {"GALAXY_NOTIFY_REDIS__URL": cluster.url}


def test_preferences__lie_on_all_nodes(cluster: Cluster, deploy: Deploy) -> None:
    """Each user is stored where the shard is, and all of them come out again."""
    deployment = deploy()
    command = command_on(cluster)
    users = [f"u{number}" for number in range(30)]
    lines = [json.dumps({"user": user, "preferences": {"silenced": True}}) for user in users]
    done = command.run("prefs", "import", stdin="\n".join(lines))
    assert done.exit_code == 0, done.output
    assert {shard_of(user, SHARDS) for user in users} == set(range(SHARDS))
    told = map(json.loads, command.run("prefs", "export").stdout.splitlines())
    assert sorted(one["user"] for one in told) == sorted(users)
    assert all(deployment.client.exists(keys.preferred) for keys in deployment.key_space.all_keys)
    assert command.told("prefs", "resume", "u7")["changed"]


def test_cluster__takes_intents_from_a_stream(cluster: Cluster, deploy: Deploy) -> None:
    """With a hash tag stream and rejects share a slot; readers and commands find them."""
    deployment = deploy(intake__stream="{gn-intents}")
    for number in range(20):
        deployment.client.xadd("{gn-intents}", {"intent": intent(number)})
    deployment.client.xadd("{gn-intents}", {"intent": "{"})
    read_until(
        deployment.settings, lambda: not deployment.client.xlen("{gn-intents}"), "all is read"
    )
    assert len(deployment.routes()) == 20
    command = command_on(cluster)
    command.environ["GALAXY_NOTIFY_INTAKE__STREAM"] = "{gn-intents}"
    assert command.told("intake", "status")["rejects"] == 1
    done = command.run("intake", "rejects", "replay", "--all")
    assert done.stdout == "moved 1 of 1: in the stream again\n"
    assert command.told("intake", "status")["unread"] == 1
