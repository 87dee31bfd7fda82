"""What operators do, and those who only look, as steps."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_notify import Inspector, Notifier
from galaxy_notify.cli import bench_measure as bench
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_inspect.readers import read_readers
from galaxy_notify.redis_inspect.stream import follow, read_streams
from galaxy_notify.redis_state.deployment import connect, read_all
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.unread import UserCounts, unread_mark
from tests.support import events
from tests.support.deployment import DeploymentFixture, member_of
from tests.support.faults import FAULTS
from tests.support.intents import PLAIN
from tests.support.recent import attend, deliver, deliver_named
from tests.support.registered_gateways import gateway_alive
from tests.support.role_daemon import lives
from tests.support.roles import Stage, step

OLD_MS = 3_600_000


def _worked(stage: Stage) -> tuple[DeploymentFixture, str]:
    """Found a deployment with something of everything; return the id of a dead one."""
    deployment = stage.deploy()
    member = deployment.bury(number=2)[0]
    deployment.notify("u1", "u2")
    deployment.accept()
    deployment.client.xgroup_create(deployment.keys.stream, "gateway", id="0", mkstream=True)
    events.publish(deployment.client, 7)
    deployment.client.zadd(deployment.keys.workers, {"host-1": deployment.now()})
    deployment.client.hset(
        deployment.keys.worker("host-1"), mapping={"progress_ms": deployment.now()}
    )
    return deployment, member


def _gateway(deployment: DeploymentFixture) -> None:
    gateway_alive(deployment)
    deliver(deployment, "u1", 1)
    attend(deployment, "gw-1", "u1")


def _replace(deployment: DeploymentFixture, *keys: str) -> None:
    for key in keys:
        deployment.client.set(key, "foreign")


@step(Role.OPERATOR, Role.READER)
def looks(stage: Stage) -> Iterator[None]:
    deployment, member = _worked(stage)
    waiting = member_of(deployment.notify("u9"), "u9")
    deployment.claim("push", 0)
    _gateway(deployment)
    yield
    for command in ("status", "stream tail", "stream groups", "config show", "dead stats"):
        stage.cli(*command.split())
    stage.cli("list", "--state", "pending")
    stage.cli("show", waiting.partition("/")[0])
    stage.cli("show", member)
    with Inspector.from_url(stage.url) as inspector:
        inspector.status()


@step(Role.OPERATOR, Role.READER)
def looks_from_a_program(stage: Stage) -> Iterator[None]:
    _, member = _worked(stage)
    yield
    with Inspector.from_url(stage.url) as inspector:
        inspector.list(state="open")
        assert inspector.show(member) is not None
        assert len(inspector.dead_letters(since="1h").items) > 0


@step(Role.OPERATOR, Role.READER)
def looks_at_dead_letters(stage: Stage) -> Iterator[None]:
    _, member = _worked(stage)
    yield
    stage.cli("dead", "ls")
    stage.cli("dead", "show", member)
    stage.cli("dead", "export", "--all")


@step(Role.OPERATOR, Role.READER)
def looks_at_preferences(stage: Stage) -> Iterator[None]:
    stage.deploy().notifier.preferences.silence("u1")
    yield
    stage.cli("prefs", "get", "u1")
    stage.cli("prefs", "export")


@step(Role.OPERATOR, Role.READER)
def looks_at_users(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    _gateway(deployment)
    yield
    stage.cli("presence", "ls")
    stage.cli("presence", "show", "u1")
    stage.cli("users", "show", "u1")
    stage.cli("stream", "user", "u1")
    stage.cli("fsck")


@step(Role.OPERATOR)
def logs_a_user_out(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    _gateway(deployment)
    deployment.client.zadd(deployment.keys.tickets("u1"), {"digest": 2e12})
    yield
    stage.cli("users", "logout", "u1")


@step(Role.OPERATOR)
def retracts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    made = deployment.notify("u1", "u2", "u3")
    # Two that the list has, the second a second time, and one beyond its length.
    deliver(deployment, "u1", *range(1, 101))
    deliver_named(deployment, "u1", made)
    deployment.client.zadd(deployment.keys.presence("u1"), {"gone": 2e12})
    deployment.client.set(deployment.keys.recent("u2"), "foreign")
    deployment.client.set(deployment.keys.unread("u2"), "foreign")
    yield
    for _ in range(2):
        stage.cli("retract", made)
    opened = connect(deployment.settings_at(stage.url))
    counts = [UserCounts(user, Counts(1, 1, 1, 1)) for user in ("u1", "u2")]
    run_sync(opened.client, unread_mark(deployment.keys, counts))
    opened.close()


@step(Role.OPERATOR)
def forgets_a_user(stage: Stage) -> Iterator[None]:
    deployment, _ = _worked(stage)
    _gateway(deployment)
    deployment.notifier.preferences.silence("u1")
    yield
    stage.cli("users", "forget", "u1", "--yes")


@step(Role.OPERATOR)
def mends_what_gateways_keep(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    _gateway(deployment)
    keys = deployment.keys
    deployment.client.zadd(keys.gateways, {"gw-old": 1})
    counts = dict.fromkeys(Counts._fields, 1)
    deployment.client.hset(keys.unread("u1"), mapping=counts)  # type: ignore[arg-type]  # numbers
    deployment.client.pexpire(keys.unread("u1"), 60_000)
    own = [inbox_key("gn", "gw-1"), keys.gateway("gw-1"), keys.recent("u1"), keys.presence("u1")]
    own.append(keys.unread("u1"))
    for key in own:
        deployment.client.persist(key)
    yield
    stage.cli("fsck", "--fix")
    _replace(deployment, *own)
    stage.cli("fsck", "--fix")
    _replace(deployment, keys.gateways)
    stage.cli("fsck", "--fix")


@step(Role.OPERATOR, Role.READER)
def compares(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__channels=["push", "email"])
    deployment.whole = False
    for plant in FAULTS.values():
        plant(deployment)
    yield
    stage.cli("fsck", code=1)


@step(Role.OPERATOR, Role.READER)
def follows(stage: Stage) -> Iterator[None]:
    deployment, _ = _worked(stage)
    yield
    opened = connect(deployment.settings_at(stage.url))
    arriving = follow(opened.client, opened.all_keys, 10)
    assert next(arriving)
    deployment.client.xadd(deployment.keys.stream, events.event_fields(8))
    next(arriving)
    opened.close()


@step(Role.OPERATOR, Role.READER)
def examines(stage: Stage) -> Iterator[None]:
    _worked(stage)
    yield
    stage.cli("doctor")


@step(Role.OPERATOR, Role.READER)
def looks_for_consumers(stage: Stage) -> Iterator[None]:
    deployment, _ = _worked(stage)
    yield
    opened = connect(deployment.settings_at(stage.url))
    read_readers(opened, [(stream.key, "gateway") for stream in read_streams(opened)])
    opened.close()


@step(Role.OPERATOR)
def mends(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(worker__channels=["push", "email"])
    deployment.whole = False
    for plant in FAULTS.values():
        plant(deployment)
    yield
    stage.cli("fsck", "--fix")


@step(Role.OPERATOR)
def moves_dead_letters(stage: Stage) -> Iterator[None]:
    deployment, member = _worked(stage)
    deployment.client.zadd(deployment.keys.dead("push"), {"nobody": 1})
    yield
    stage.cli("dead", "replay", member, "--yes")
    stage.cli("dead", "purge", "--all", "--yes")


@step(Role.OPERATOR)
def pauses_and_drops(stage: Stage) -> Iterator[None]:
    deployment, _ = _worked(stage)
    deployment.client.xgroup_create(deployment.keys.stream, "feed", id="0")
    deployment.client.xadd(deployment.keys.feed_backlog, {"user_id": "u1"})
    deployment.client.zadd(deployment.keys.feed_writers, {"w-1": 1})
    deployment.client.xadd(deployment.keys.deliveries, {"user_id": "u1"})
    yield
    stage.cli("pause", "push")
    stage.cli("resume", "push")
    stage.cli("health", code=0)
    stage.cli("stream", "drop-group", "gateway", "--yes")
    stage.cli("stream", "drop-group", "feed", "--yes")


@step(Role.CONSUMER, lasts=True)
def consumes_by_command(stage: Stage) -> Iterator[None]:
    _worked(stage)
    yield
    stage.cli("stream", "consume", "--group", "g", "--consumer", "c", "--count", "1")


@step(Role.OPERATOR)
def measures_in_pieces(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(redis__prefix="gn-bench-0")
    yield
    settings = deployment.settings_at(stage.url)
    opened = connect(settings)
    bench.check_empty(connect(bench.throwaway_settings(settings)))
    bench.floor_rate(opened, 10, b"x")
    read_all(opened, [["SET", f"{deployment.keys.tag}round-trip", 1]])
    deployment.client.flushall()
    with Notifier(settings) as notifier:
        notifier.accept(PLAIN)
    harness = deployment.worker_harness(url=stage.url)
    harness.step()
    harness.tidy()
    harness.run(lives(harness.client, deployment))
    assert bench.remove(opened)


@step(Role.OPERATOR, lasts=True)
def measures(stage: Stage) -> Iterator[None]:
    yield
    stage.cli("bench", "--routes", "100")
