"""``doctor``: every danger is found, told with what it means, and nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.scripts import names, script
from galaxy_notify.redis_state.permissions import PROBES
from galaxy_notify.redis_state.roles import Role
from tests.support.command import NOWHERE, CommandLine
from tests.support.dead_letters import dead_letter_fixture, snapshot
from tests.support.roles import line_of, stage
from tests.support.servers import Server
from tests.support.wait import wait_until


@pytest.fixture
def command(any_server: Server) -> CommandLine:
    """Give the command line for a server."""
    return CommandLine(any_server.url)


def findings(command: CommandLine) -> dict[str, Any]:
    """Return the gravest finding of each check."""
    grave = {"ok": 0, "unknown": 1, "warning": 2, "error": 3}
    found = command.told("doctor")["findings"]
    return {each["check"]: each for each in sorted(found, key=lambda one: grave[one["level"]])}


@contextmanager
def configured(client: redis.Redis, option: str, value: str) -> Iterator[None]:
    """Change an option of the server for a while."""
    before: Any = client.config_get(option)
    client.config_set(option, value)
    try:
        yield
    finally:
        (kept,) = before.values()
        client.config_set(option, kept)


def test_doctor__a_good_server_has_no_errors(command: CommandLine, any_server: Server) -> None:
    """A plain server is no error; each finding has its parts, and nothing is left behind."""
    told = command.told("doctor")
    with any_server.client() as client:
        assert all(key.startswith(b"{gn:0}:") for key in snapshot(client))
    assert told["ok"] is True
    assert command.run("doctor").exit_code == 0
    for finding in told["findings"]:
        assert list(finding) == ["level", "check", "what", "means", "todo", "risk", "node"]
        if finding["level"] != "ok":
            assert finding["means"]
            assert finding["todo"]


def test_doctor__changes_nothing_of_a_deployment(command: CommandLine, any_server: Server) -> None:
    """Every probe of a permission is harmless."""
    with dead_letter_fixture(any_server) as deployment:
        deployment.bury()
        deployment.accept()
        deployment.client.xadd(deployment.key_space.keys(0).stream, {"a": "b"})
        before = snapshot(deployment.client)
        assert findings(command)["permissions"]["level"] == "ok"
        after = snapshot(deployment.client)
    mark = [key for key in after if key not in before]
    assert {key: value for key, value in after.items() if key not in mark} == before
    assert len(mark) <= 1  # the write round trip's, for a second


def test_doctor__without_redis_is_an_error() -> None:
    """A Redis that is away is a finding."""
    told = CommandLine(NOWHERE).told("doctor")
    assert told["ok"] is False
    assert told["findings"][0]["check"] == "connection"
    assert CommandLine(NOWHERE).run("doctor").exit_code == 1


def test_doctor__finds_eviction(command: CommandLine, any_server: Server) -> None:
    """A policy that deletes keys is a warning, and an error once memory is limited."""
    with any_server.client() as client, configured(client, "maxmemory-policy", "allkeys-lru"):
        assert findings(command)["eviction"]["level"] == "warning"
        with configured(client, "maxmemory", "1gb"):
            assert findings(command)["eviction"]["level"] == "error"
            assert command.run("doctor").exit_code == 1


def test_doctor__finds_full_memory(command: CommandLine, any_server: Server) -> None:
    """A full server is an error: nothing can be written."""
    with any_server.client() as client, configured(client, "maxmemory", "1"):
        found = findings(command)
    assert found["memory"]["level"] == "error"
    assert found["write"]["level"] == "error"


def test_doctor__finds_missing_persistence(command: CommandLine, any_server: Server) -> None:
    """Without the append-only file a restart loses what was accepted."""
    assert findings(command)["persistence"]["level"] == "warning"


def test_doctor__finds_a_replica(command: CommandLine, any_server: Server) -> None:
    """A replica refuses writes."""
    with any_server.client() as client:
        client.replicaof("127.0.0.1", "1")
        try:
            found = findings(command)
        finally:
            client.replicaof("NO", "ONE")
    assert found["role"]["level"] == found["write"]["level"] == "error"


def test_doctor__finds_another_deployment(command: CommandLine, any_server: Server) -> None:
    """Settings that differ are a warning, another number of shards an error."""
    with dead_letter_fixture(any_server, channels=("push", "email")):
        assert "channels is push,email, here push" in findings(command)["settings"]["what"]
    with dead_letter_fixture(any_server, shards=3):
        found = findings(command)["settings"]
    assert found["level"] == "error"
    assert "this deployment has 3" in found["what"]


def test_doctor__finds_what_is_not_allowed(any_server: Server) -> None:
    """A missing permission is named with the rule that grants it."""
    denied = ["-xadd", "-hset", "-xgroup"]
    with dead_letter_fixture(any_server) as deployment:
        deployment.client.acl_setuser(
            "ann", enabled=True, nopass=True, commands=["+@all", *denied], keys=["{gn:*}:*"]
        )
        told = CommandLine(any_server.url, {"REDIS__USERNAME": "ann"}).told("doctor")
        deployment.client.acl_deluser("ann")
    (missing,) = [each for each in told["findings"] if each["check"] == "permissions"]
    assert missing["level"] == "error"
    assert missing["todo"] == "ACL SETUSER … +hset +xadd +xgroup|destroy"


def test_doctor__without_permission_to_look_says_so(any_server: Server) -> None:
    """A user of least rights is told what was not looked at, and everything else."""
    denied = ["-info", "-config", "-slowlog", "-latency", "-script|exists"]
    if any_server.binary.version.startswith("6."):
        denied = denied[:-1]  # it knows no rules for commands of two words that were allowed
    with dead_letter_fixture(any_server) as deployment:
        deployment.client.acl_setuser(
            "ann", enabled=True, nopass=True, commands=["+@all", *denied], keys=["{gn:*}:*"]
        )
        done = CommandLine(any_server.url, {"REDIS__USERNAME": "ann"}).run("doctor")
        deployment.client.acl_deluser("ann")
    assert done.exit_code == 0
    assert "unknown  unseen: not checked: no reply to INFO, CONFIG GET" in done.stdout
    assert "`redis-cli CONFIG GET appendfsync`" in " ".join(done.stdout.split())
    assert done.stdout.endswith(" unknown\n")
    assert "ok       write:" in done.stdout


def test_doctor__of_an_operator_misjudges_no_group_that_is_read(any_server: Server) -> None:
    """With the shipped rights, and without the one to see consumers, a living group is no ruin."""
    with stage(any_server, Role.OPERATOR) as user, dead_letter_fixture(any_server) as deployment:
        stream = deployment.key_space.keys(0).stream
        deployment.client.xadd(stream, {"a": "b"}, id="1-1")  # published in 1970
        deployment.client.xgroup_create(stream, "gateway", "0")
        deployment.client.xreadgroup("gateway", "gw-1", {stream: ">"})
        deployment.client.xadd(stream, {"a": "b"})
        command = CommandLine(user.url)
        assert findings(command)["consumers"]["level"] == "ok"
        assert findings(command)["unseen"]["level"] == "unknown"
        user.grant([rule for rule in line_of(Role.OPERATOR)[1:] if rule != "+xinfo|consumers"])
        found = findings(command)["consumers"]
    assert found["level"] == "unknown"
    assert "drop-group" not in found["todo"]


def test_doctor__finds_readers_that_are_gone(command: CommandLine, any_server: Server) -> None:
    """A group with entries to read, and nobody who reads them, is a warning with its name."""
    with dead_letter_fixture(any_server) as deployment:
        stream = deployment.key_space.keys(0).stream
        deployment.client.xadd(stream, {"a": "b"})
        deployment.client.xgroup_create(stream, "gateway", "0")
        found = findings(command)["consumers"]
        assert found["level"] == "warning"
        assert f"group gateway of {stream} is not read, it has no consumer" in found["what"]
        assert found["todo"].endswith("drop-group gateway`")
        deployment.client.xreadgroup("gateway", "gw-1", {stream: ">"})
        assert findings(command)["consumers"]["level"] == "ok"


def test_doctor__finds_a_guard_that_somebody_made(command: CommandLine, any_server: Server) -> None:
    """A key that nobody of ours creates is there: it is named, with what removes it."""
    with dead_letter_fixture(any_server) as deployment:
        never = deployment.key_space.keys(0).never
        deployment.client.set(never, "x")
        found = findings(command)["guard"]
        assert found["level"] == "warning"
        assert found["todo"].endswith(f"`redis-cli UNLINK '{never}'`")
        deployment.client.unlink(never)
        assert "guard" not in findings(command)


def test_doctor__finds_what_held_the_server_up(command: CommandLine, any_server: Server) -> None:
    """A command that blocked the server for long is named, without its arguments."""
    with any_server.client() as client:

        def worst() -> Any:
            client.slowlog_reset()
            client.execute_command("DEBUG", "SLEEP", "0.15")
            found = findings(command)["slow"]
            return found if found["what"].startswith("DEBUG took ") else None

        # On a machine that stands still another command may take longer.
        found = wait_until(worst, "it is named")
        client.slowlog_reset()
    assert found["level"] == "warning"
    assert found["risk"] == "availability"


def test_doctor__finds_what_breaks_first(any_server: Server) -> None:
    """After 600 events in a moment: the memory, the stream and the marks, with numbers."""
    with (
        stage(any_server, Role.OPERATOR) as user,
        closing(user.deploy(gateway__max_len=1000)) as deployment,
    ):
        deployment.client.xgroup_create(deployment.keys.stream, "gateway", "0", mkstream=True)
        deployment.client.zadd(deployment.keys.seen("gateway"), {"event": 1})
        command = CommandLine(user.url, {"GATEWAY__MAX_LEN": "1000"})
        assert not {"retention", "max_len", "marks"} & set(findings(command))
        # The stream dates its entries later than it is: for the rate all are of this moment,
        # however slow the machine.
        later = f"{deployment.now() + 3_600_000}-0"
        deployment.client.xadd(deployment.keys.stream, {"a": "b"}, id=later)
        deployment.client.xdel(deployment.keys.stream, later)
        for _ in range(10):
            deployment.notify(*(f"user-{number}" for number in range(60)))
        harness = deployment.worker_harness()
        while harness.step():
            pass
        found = findings(command)
        # Of the little that is free nothing is left for more, however slow this machine is.
        memory: Any = deployment.client.info("memory")
        with configured(deployment.client, "maxmemory", str(memory["used_memory"] + (256 << 10))):
            full = findings(command)["retention"]
    assert "gateway.max_len 1,000 holds" in found["max_len"]["what"]
    assert "group gateway of shard 0 remembers 100,000 handled" in found["marks"]["what"]
    # An hour, less the time since: the dates of the stream say that none has passed.
    kept = r"what is kept for (1 h|\d+ min( \d+ s)?) after publishing"
    assert re.search(kept, found["retention"]["what"])
    assert full["level"] == "warning"
    assert "maxmemory (" in full["what"]
    assert full["todo"].startswith("raise maxmemory to ")


def test_permissions__cover_every_command_of_the_scripts() -> None:
    """What a script runs is probed, so that a new command cannot be forgotten."""
    used = set()
    for name in names():
        found = re.findall(r"(?:call|try)\('([A-Z]+)'(?:, '([A-Z]+)')?", script(name).source)
        used |= {f"{a} {b}" if a in ("XINFO", "XGROUP") else a for a, b in found}
    assert used <= {*PROBES}
