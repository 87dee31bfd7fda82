"""The stream commands: what they print, what they refuse, and how they end."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from galaxy_notify.redis_inspect.readers import IN_USE_MS, Readers, whose_use
from galaxy_notify.redis_state.keys import Keys
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.events import KEYS, event_fields, event_id, pending, publish, write_deployment
from tests.support.program import PROGRAM, ROOT, environment, program
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

HOSTILE = "u\x1b[2J"


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """Give a client of a deployment of two shards."""
    with server.client() as client:
        write_deployment(client, shards=2)
        yield client


@pytest.fixture
def command(server: Server) -> CommandLine:
    return command_for(server, WORKER__SHARDS="2")


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def consume(server: Server, *arguments: str) -> list[str]:
    """Return the command line of a consumer."""
    return [*PROGRAM, "stream", "consume", "--group", "g", "--consumer", "c", *arguments]


def start(server: Server, arguments: list[str], **options: Any) -> subprocess.Popen[str]:
    env = environment(server, GALAXY_NOTIFY_WORKER__SHARDS="2")
    return subprocess.Popen(
        arguments, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, **options
    )


def test_tail__for_people(client: redis.Redis, command: CommandLine) -> None:
    """tail shows the newest events of all shards; their data only when asked."""
    publish(client, 1, 2)
    client.xadd(Keys("gn", 1).stream, event_fields(3), id="9999999999999-0")
    done = command.run("stream", "tail", "--count", "2")
    assert done.exit_code == 0
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [event_id(2), event_id(3)]
    assert "number" not in done.stdout
    assert '"number": 3' in command.run("stream", "tail", "--payload").stdout


def test_tail__json(client: redis.Redis, command: CommandLine) -> None:
    """tail --json prints a line for each event, the payload only when asked."""
    (stream_id,) = publish(client, 1)
    (event,) = lines(command.run("stream", "tail", "--json").stdout)
    assert event == {
        "event_id": event_id(1),
        "user_id": "u1",
        "event_type": "game.ready",
        "request_id": None,
        "trace_id": None,
        "traceparent": None,
        "stream": KEYS.stream,
        "stream_id": stream_id,
        "shard": 0,
        "at_ms": int(stream_id.split("-")[0]),
        "payload_length": len(event_fields(1)["payload_bytes"]),
    }
    (event,) = lines(command.run("stream", "tail", "--json", "--payload").stdout)
    assert event["payload"]["data"] == {"number": 1}


def test_tail__what_cannot_be_read(client: redis.Redis, command: CommandLine) -> None:
    """Entries and payloads that nobody can read are shown as such, and steer no terminal."""
    client.xadd(KEYS.stream, {"x": "y"})
    client.xadd(KEYS.stream, event_fields(1, user_id=HOSTILE, payload_bytes=b"\xc1"))
    done = command.run("stream", "tail", "--payload")
    assert done.exit_code == 0
    assert done.stdout.count("unreadable") == 2
    assert "\x1b" not in done.stdout
    broken, other = lines(command.run("stream", "tail", "--json", "--payload").stdout)
    assert broken["error"] == "event_id: missing"
    assert other["payload"] is None
    assert other["payload_error"].startswith("payload: ")


def test_tail__without_events(client: redis.Redis, command: CommandLine) -> None:
    """An empty stream is no error."""
    done = command.run("stream", "tail")
    assert (done.exit_code, done.stdout) == (0, "")


def test_tail__follows_until_interrupted(client: redis.Redis, server: Server) -> None:
    """tail --follow prints events as they come; Ctrl-C ends it."""
    publish(client, 1)
    with start(server, [*PROGRAM, "stream", "tail", "-f", "--json"]) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event_id"] == event_id(1)
        publish(client, 2, keys=Keys("gn", 1))
        assert json.loads(process.stdout.readline())["event_id"] == event_id(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 130


def test_tail__closed_pipe(client: redis.Redis, server: Server) -> None:
    """A reader that leaves ends tail --follow without a word."""
    publish(client, 1)
    follow = [*PROGRAM, "stream", "tail", "-f", "--json"]
    with start(server, follow, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        publish(client, 2)
        assert process.wait(HANG_S) == 0
        assert process.stderr.read() == ""


def test_groups__tables_and_json(client: redis.Redis, command: CommandLine) -> None:
    """groups tells how each group of each shard stands, and what rests parked."""
    publish(client, 1, 2, 3)
    client.xgroup_create(KEYS.stream, "gateway", "0")
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"}, count=2)
    client.xadd(KEYS.parked, {"reason": "x"})
    (group,) = lines(command.run("stream", "groups", "--json").stdout)
    assert group.pop("oldest_pending_s") >= 0
    assert group == {
        "stream": KEYS.stream,
        "shard": 0,
        "length": 3,
        "parked": 1,
        "group": "gateway",
        "lag": 1,
        "pending": 2,
        "lost": 0,
    }
    shown = command.run("stream", "groups")
    assert shown.exit_code == 0
    assert "gateway" in shown.stdout
    assert "no group" in shown.stdout


def test_drop_group__asks(client: redis.Redis, command: CommandLine) -> None:
    """drop-group needs --yes without a terminal, and says how many events go with it."""
    publish(client, 1)
    client.xgroup_create(KEYS.stream, "gateway", "0")
    done = command.run("stream", "drop-group", "gateway")
    assert done.exit_code == 2
    assert "0 pending and 1 unread" in done.stderr
    assert pending(client) == 0
    assert command.told("stream", "drop-group", "gateway", "--yes") == {
        "group": "gateway",
        "shards": 1,
    }
    assert pending(client) == -1


def test_drop_group__refuses_one_that_is_read(client: redis.Redis, command: CommandLine) -> None:
    """A group of which a consumer was seen lately stays, whatever is answered; --force drops it."""
    publish(client, 1)
    client.xgroup_create(KEYS.stream, "gateway", "0")
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"})
    for arguments in ([], ["--yes"]):
        done = command.run("stream", "drop-group", "gateway", *arguments)
        assert done.exit_code == 2
        assert "its consumer gw-1 was seen" in done.stderr
    assert pending(client) == 1
    done = command.run("stream", "drop-group", "gateway", "--force")
    assert "1 pending" in done.stderr
    assert command.told("stream", "drop-group", "gateway", "--force", "--yes")["shards"] == 1
    assert pending(client) == -1


def test_drop_group__refuses_one_that_may_wait_for_more(
    client: redis.Redis, command: CommandLine
) -> None:
    """Before Redis 7.2 a consumer that waits and was given nothing is not to be seen."""
    client.xgroup_create(KEYS.stream, "gateway", "0", mkstream=True)
    assert client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"}, block=1) in ([], {})
    done = command.run("stream", "drop-group", "gateway", "--yes")
    assert done.exit_code == 2, done.output
    assert "may be in use: it" in done.stderr
    assert pending(client) == 0
    assert command.told("stream", "drop-group", "gateway", "--force", "--yes")["shards"] == 1


@pytest.mark.parametrize(
    ("readers", "unread", "use"),
    [
        (Readers(True), True, ""),
        (Readers(True), False, "may be waiting for more"),
        (Readers(True, IN_USE_MS, "a"), True, ""),
        (Readers(True, IN_USE_MS, "a"), False, "may be waiting for more"),
        (Readers(True, IN_USE_MS, "a", notes_waiting=True), False, ""),
        (Readers(True, 1, "a", notes_waiting=True), True, "its consumer a was seen"),
        (Readers(), True, "may not list"),
    ],
)
def test_group__is_unused_only_where_that_is_proven(
    readers: Readers, unread: bool, use: str
) -> None:
    """Silence is no proof where a consumer may wait for an event without being noted."""
    assert use in whose_use([readers], unread=unread)
    assert bool(use) is bool(whose_use([readers], unread=unread))


def test_drop_group__refuses_where_it_may_not_ask(server: Server, client: redis.Redis) -> None:
    """A right that is missing is no proof that nobody reads."""
    client.xgroup_create(KEYS.stream, "gateway", "0", mkstream=True)
    blind = ["+@all", "-xinfo"]
    client.acl_setuser("ann", enabled=True, nopass=True, commands=blind, keys=["{gn:*}:*"])
    client.acl_setuser("ann", enabled=True, nopass=True, commands=["+xinfo|groups"])
    ann = command_for(server, WORKER__SHARDS="2", REDIS__USERNAME="ann")
    done = ann.run("stream", "drop-group", "gateway", "--yes")
    assert done.exit_code == 2, done.output
    assert "may not list its consumers (XINFO CONSUMERS)" in done.stderr
    assert pending(client) == 0
    assert ann.run("stream", "drop-group", "gateway", "--yes", "--force").exit_code == 0
    client.acl_deluser("ann")


def test_drop_group__unknown(client: redis.Redis, command: CommandLine) -> None:
    """A group that is nowhere is exit code 3."""
    assert command.run("stream", "drop-group", "nobody", "--yes").exit_code == 3


def test_consume__prints_acknowledges_and_counts(client: redis.Redis, server: Server) -> None:
    """consume --count prints so many events, acknowledges them, and ends."""
    publish(client, 1, 2, 3)
    with start(server, consume(server, "--count", "2", "--payload")) as process:
        out, _ = process.communicate(timeout=HANG_S)
        assert process.returncode == 0
    events = lines(out)
    assert [event["event_id"] for event in events] == [event_id(1), event_id(2)]
    assert events[0]["payload"]["data"] == {"number": 1}
    assert events[0]["deliveries"] == 1
    assert pending(client, "g") == 1
    with start(server, consume(server, "--count", "1")) as process:
        out, _ = process.communicate(timeout=HANG_S)
    (event,) = lines(out)
    assert event["event_id"] == event_id(3)
    assert "payload" not in event
    assert pending(client, "g") == 0


def test_consume__sigterm(client: redis.Redis, server: Server) -> None:
    """SIGTERM ends consume with 0."""
    publish(client, 1)
    with start(server, consume(server)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait_until(lambda: pending(client, "g") == 0, "the event is acknowledged")
        process.terminate()
        assert process.wait(HANG_S) == 0


def test_consume__closed_pipe(client: redis.Redis, server: Server) -> None:
    """A reader that leaves ends consume without a word; what it did not get is not acknowledged."""
    publish(client, 1)
    with start(server, consume(server), stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        wait_until(lambda: pending(client, "g") == 0, "the event is acknowledged")
        process.stdout.close()
        publish(client, 2)
        assert process.wait(HANG_S) == 0
        assert process.stderr.read() == ""
    assert pending(client, "g") == 1


def test_stream__refused(server: Server, command: CommandLine) -> None:
    """Names that make no key are a configuration error; a Redis that is away is 1."""
    done = program(server, "stream", "consume", "--group", "a b", "--consumer", "c")
    assert done.returncode == 78
    away = CommandLine(NOWHERE)
    for arguments in (["tail"], ["groups"], ["drop-group", "g", "--yes"]):
        assert away.run("stream", *arguments).exit_code == 1
    assert command.run("stream", "consume").exit_code == 2
