"""What ``status``, ``health`` and ``doctor`` say of the feed, from Redis alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.operations.documents import STATUS
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_inspect.gauges import read_gauges
from galaxy_notify.redis_state.feed_backlog import backlog_keys
from galaxy_notify.redis_state.feed_calls import FEED_GROUP, MoveLimits, feed_attend, feed_move
from galaxy_notify.redis_state.group import Parking, event_park
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Snapshot
from tests.support.command import NOWHERE, CommandLine
from tests.support.dead_letters import DeadLetterFixture, dead_letter_fixture
from tests.support.liveness import alive
from tests.support.servers import Server

KEYS = Keys("gn", 0)
WRITTEN = {"FEED__URL": "postgresql://u@h/d"}


@pytest.fixture
def deployment(any_server: Server) -> Iterator[DeadLetterFixture]:
    """Give a deployment of one shard, with a worker that is alive."""
    with dead_letter_fixture(any_server) as made:
        alive(made)
        yield made


@pytest.fixture
def command(any_server: Server) -> CommandLine:
    """Give its command line; its settings have no feed."""
    return CommandLine(any_server.url)


def _publish(deployment: DeadLetterFixture, count: int, ago_ms: int = 0) -> None:
    """Let events have been published so long ago."""
    seconds, _ = deployment.client.time()
    for number in range(count):
        stream_id = f"{seconds * 1000 - ago_ms}-{number + 1}"
        deployment.client.xadd(KEYS.stream, {"user_id": "u1"}, id=stream_id)


def _group(deployment: DeadLetterFixture) -> None:
    deployment.client.xgroup_create(KEYS.stream, FEED_GROUP, "0", mkstream=True)


def _report(deployment: DeadLetterFixture, writer: str, ago_ms: int = 0) -> None:
    seconds, micros = deployment.client.time()
    now_ms = seconds * 1000 + micros // 1000 - ago_ms
    run_sync(deployment.client, feed_attend(KEYS, writer, "", now_ms))


def _warnings(command: CommandLine) -> list[str]:
    told = command.told("health")
    assert told["ok"], told
    return list(told["warnings"])


def _findings(command: CommandLine, check: str = "feed") -> list[dict[str, Any]]:
    told = command.told("doctor")["findings"]
    return [finding for finding in told if finding["check"] == check]


def test_status__without_a_feed_has_none(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """A deployment that never had one: null, no section, no warning, no finding."""
    _publish(deployment, 3, ago_ms=100_000)
    assert command.told("status")["feed"] is None
    assert "feed" not in command.run("status").stdout
    assert _warnings(command) == []
    assert _findings(command) == []


def test_status__counts_what_is_not_in_the_feed(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Events of the stream, given to a writer or not; those in the backlog; those parked."""
    client, keys = deployment.client, KEYS
    _publish(deployment, 7, ago_ms=30_000)
    _group(deployment)
    _report(deployment, "w-1")
    client.xreadgroup(FEED_GROUP, "w-1", {keys.stream: ">"}, count=3)
    assert command.told("status")["feed"]["lag"] == 7
    run_sync(client, feed_move(keys, "w-1", MoveLimits(1000, most=2)))
    own = backlog_keys(keys)
    client.xgroup_create(keys.feed_backlog, FEED_GROUP, "0")
    client.xreadgroup(FEED_GROUP, "w-1", {keys.feed_backlog: ">"}, count=1)
    rows: Any = client.xrange(keys.feed_backlog, count=1)
    entry_id = rows[0][0].decode()
    client.xadd(keys.parked, {"group": "gateway"})
    park = event_park(own, FEED_GROUP, "w-1", Parking(entry_id, 1, "bad"), 100, deletes=True)
    assert run_sync(client, park) == b"parked"
    told = command.told("status")
    feed = told["feed"]
    assert [*feed][:3] == ["lag", "backlog", "parked"]
    assert (feed["lag"], feed["backlog"], feed["parked"]) == (5, 1, 1)
    assert 30 <= feed["oldest_s"] < 30 + told["at_ms"]
    assert [writer["id"] for writer in feed["writers"]] == ["w-1"]
    read = STATUS.validate_python(told)
    assert read.feed is not None
    assert read.feed.writers[0].id == "w-1"
    shown = command.run("status").stdout.split("feed\n")[1].splitlines()
    assert shown[0].split() == ["lag", "backlog", "parked", "oldest", "writers", "progress"]
    assert shown[1].split()[:3] == ["5", "1", "1"]


def test_status__of_foreign_keys_counts_nothing(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Keys that hold something else are reported by fsck, and stop no status."""
    for key in (KEYS.feed_backlog, KEYS.feed_writers):
        deployment.client.set(key, "foreign")
    deployment.client.xadd(KEYS.parked, {"other": "field"})
    assert command.told("status")["feed"] is None
    _group(deployment)
    assert command.told("status")["feed"] == {
        "lag": 0, "backlog": 0, "parked": 0, "oldest_s": 0.0, "writers": []
    }  # fmt: skip


def test_health__names_a_feed_that_no_writer_writes(
    any_server: Server, command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """Before it has a group, by the settings; later from the first seconds; never else."""
    expected = CommandLine(any_server.url, WRITTEN)
    (warning,) = _warnings(expected)
    assert warning.startswith("no writer of the feed is alive, 0 events wait: start one with")
    assert _warnings(command) == []
    _publish(deployment, 2, ago_ms=20_000)
    _group(deployment)
    for who in (command, expected):
        (warning,) = _warnings(who)
        assert warning.startswith("no writer of the feed is alive, 2 events wait, the oldest for 2")
        # Whose settings have a feed is never advised to delete what waits for it.
        assert ("`galaxy-notify stream drop-group feed`" in warning) is (who is command)
    _report(deployment, "w-1", ago_ms=20_000)
    # This one died before the clock was set back.
    deployment.client.zadd(KEYS.feed_writers, {"w-0": 1e14})
    (warning,) = _warnings(command)
    assert "drop-group" not in warning
    _report(deployment, "w-2")
    assert _warnings(command) == []
    (found,) = _findings(command)
    # The one that was killed is not counted.
    assert (found["level"], found["what"]) == ("ok", "writers: 1, events that wait: 2")
    assert len(command.told("status")["feed"]["writers"]) == 2


def test_health__names_a_feed_that_is_a_minute_behind(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """In the stream, or in the backlog, whose entries know when they were published."""
    _publish(deployment, 2, ago_ms=75_000)
    _group(deployment)
    _report(deployment, "w-1")
    wanted = "the feed is behind: 2 events wait, the oldest for 1 min"
    (warning,) = _warnings(command)
    assert warning.startswith(wanted)
    run_sync(deployment.client, feed_move(KEYS, "w-1", MoveLimits(1000)))
    assert command.told("status")["feed"]["backlog"] == 2
    (warning,) = _warnings(command)
    assert warning.startswith(wanted)
    (found,) = _findings(command)
    assert (found["level"], found["risk"]) == ("warning", "availability")


def test_gauges__have_the_backlog_of_a_deployment_with_a_feed(
    any_server: Server, deployment: DeadLetterFixture
) -> None:
    """What every daemon measures; nothing where there is no feed."""

    async def read() -> Snapshot:
        client = open_async(settings_from({"redis": {"url": any_server.url}}), connections=1)
        try:
            return await read_gauges(client, KEYS, ["push"])
        finally:
            await client.aclose()

    assert asyncio.run(read()).feed_backlogs == {}
    _publish(deployment, 3)
    _group(deployment)
    assert asyncio.run(read()).feed_backlogs == {0: 0}
    run_sync(deployment.client, feed_move(KEYS, "w-1", MoveLimits(1000)))
    assert asyncio.run(read()).feed_backlogs == {0: 3}


@pytest.mark.parametrize(("count", "level"), [(799, None), (800, "warning"), (1000, "error")])
def test_doctor__names_a_backlog_that_gets_full(
    any_server: Server, deployment: DeadLetterFixture, count: int, level: str | None
) -> None:
    """From four fifths on; a full one ends with held channels."""
    with deployment.client.pipeline(transaction=False) as pipeline:
        for _ in range(count):
            pipeline.xadd(KEYS.feed_backlog, {"user_id": "u1"})
        pipeline.execute()
    _report(deployment, "w-1")
    found = _findings(CommandLine(any_server.url, {"FEED__BACKLOG_MAX": "1000"}))
    levels = [finding["level"] for finding in found if "backlog of the feed" in finding["what"]]
    assert levels == [level] * (level is not None)


def test_doctor__names_what_was_parked(command: CommandLine, deployment: DeadLetterFixture) -> None:
    """Among entries that other groups parked, also large ones, only the feed's are counted."""
    _group(deployment)
    _report(deployment, "w-1")
    with deployment.client.pipeline(transaction=False) as pipeline:
        for number in range(300):
            group = FEED_GROUP if number % 3 == 0 else "gateway"
            pipeline.xadd(KEYS.parked, {"group": group, "entry.x": "x" * 2000})
        pipeline.execute()
    (found, _) = _findings(command)
    assert found["what"] == "100 events could not be stored in the feed and are parked"


def test_doctor__names_channels_that_the_deployment_lacks(
    any_server: Server, deployment: DeadLetterFixture
) -> None:
    """Chosen channels that are not there are ignored, and named; with defaults all is said once."""
    chosen = WRITTEN | {"FEED__CHANNELS": '["push","news"]'}
    told = [finding["what"] for finding in _findings(CommandLine(any_server.url, chosen))]
    assert "feed.channels: news not in worker.channels" in told
    found = _findings(CommandLine(any_server.url, WRITTEN))
    (missing,) = [one for one in found if "feed.channels" in one["what"]]
    assert missing["means"] == "the feed keeps no events of routes"
    deployment.client.hset(KEYS.meta, "default_channels", "push,news")
    found = _findings(CommandLine(any_server.url), "settings")
    (unknown,) = [one for one in found if "rules.default_channels" in one["what"]]
    assert unknown["level"] == "warning"
    assert unknown["means"] == "ignored: intents without channels go to the other ones"


def test_doctor__asks_postgres_also_while_redis_is_away() -> None:
    """The feed works without Redis, so its Postgres is looked at."""
    told = CommandLine(NOWHERE, {"FEED__URL": "postgresql://u@127.0.0.1:9/d"}).told("doctor")
    (found,) = [finding for finding in told["findings"] if finding["check"] == "postgres"]
    assert found["level"] == "error"
    assert "127.0.0.1:9/d" in found["what"]


def test_drop_group__of_the_feed_takes_what_only_that_reads(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """It asks for that too, also where the group itself is gone; then there is no feed."""
    client = deployment.client
    _publish(deployment, 1)
    for _ in range(2):
        client.xadd(KEYS.feed_backlog, {"user_id": "u1"})
    client.xadd(KEYS.deliveries, {"user_id": "u1"})
    _report(deployment, "w-1")
    done = command.run("stream", "drop-group", "feed")
    assert done.exit_code == 2
    assert "and a backlog of 2?" in done.stderr
    assert client.exists(KEYS.feed_backlog)
    _group(deployment)
    assert command.told("stream", "drop-group", "feed", "--yes")["shards"] == 1
    assert not client.exists(KEYS.feed_backlog, KEYS.feed_writers, KEYS.deliveries)
    assert command.told("status")["feed"] is None
