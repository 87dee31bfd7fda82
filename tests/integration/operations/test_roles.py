"""The users of ``config/users.acl``: each may do its whole job, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from galaxy_notify.redis_state.permissions import PROBES, UNPROBED
from galaxy_notify.redis_state.roles import RIGHTS, Role, grant
from tests.support import (
    role_attempts,
    role_clients,
    role_commands,
    role_contacts,
    role_daemon,
    role_deliveries,
    role_feed,
    role_gateway,
    role_intake,
    role_push,
    role_webhooks,
)
from tests.support.command import CommandLine
from tests.support.daemons import daemon_on
from tests.support.dead_letters import snapshot
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intake import intake_on
from tests.support.intents import PLAIN
from tests.support.roles import ACL_FILE, PASSWORD, STEPS, Stage, Step, line_of, stage
from tests.support.servers import Server, running, servers_found, servers_of_run

#: Where the steps of the jobs come from.
JOBS = (
    *(role_clients, role_commands, role_contacts, role_daemon, role_deliveries, role_feed),
    *(role_attempts, role_gateway, role_intake, role_push, role_webhooks),
)
ROLES = pytest.mark.parametrize("role", list(Role))
#: `doctor` tries everything, and is refused what the role need not do.
EXAMINES = role_commands.examines.__name__
LOOKS_ON = role_commands.looks.__name__
LOOKS = ("CONFIG GET", "SLOWLOG GET", "LATENCY LATEST", "SCRIPT EXISTS")
PROBED = {
    part
    for command in (*PROBES, *LOOKS)
    for part in (command.split()[0].lower(), grant(command)[1:])
}


def test_acl_file__says_what_the_code_knows() -> None:
    """The shipped file has one line for each role, from the one table of the code."""
    lines = [rights.line(role) for role, rights in RIGHTS.items()]
    assert ACL_FILE.read_text() == "\n".join([*lines, ""])


def test_probes__cover_every_right() -> None:
    """Whatever a role needs can be asked for, without changing anything."""
    needed = {command for rights in RIGHTS.values() for command in rights.commands}
    assert needed == {*PROBES, *UNPROBED}


@pytest.mark.parametrize("name", list(servers_of_run()))
def test_acl_file__is_loaded_as_it_is(name: str) -> None:
    """Every server takes the file; its users cannot log in before they are given a password."""
    with running(servers_found()[name], aclfile=str(ACL_FILE)) as server, server.client() as admin:
        users: Any = admin.acl_list()
    ours = [user for user in users if "galaxy-notify" in user]
    assert len(ours) == len(Role)
    assert all(user.split()[2] == "off" for user in ours)


@ROLES
def test_role__may_do_its_whole_job(any_server: Server, role: Role) -> None:
    """Not one command or key that the role needs is refused."""
    with stage(any_server, role) as user:
        for name, step in STEPS[role].items():
            denied = user.act(step.act)
            if name == EXAMINES:
                denied -= PROBED | {"exec", "multi"}
            if name == LOOKS_ON and role is Role.READER:
                # `status` asks whether writes are taken with one that changes nothing.
                denied -= {"zadd"}
            assert denied == set(), name


@ROLES
def test_role__may_do_nothing_more(any_server: Server, role: Role) -> None:
    """Without any one of the granted commands and keys, a part of the job is refused."""
    name, *rules = line_of(role)
    with stage(any_server, role) as user:
        steps = [step for step in STEPS[role].values() if not step.lasts]
        used = {step: _used(user, step) for step in steps}
        rights = [rule for rule in rules if rule[0] in "+~"]
        needless = [
            right
            for right in rights
            if not _is_missed(user, right, [rule for rule in rules if rule != right], used)
        ]
    assert needless == [], name


def _used(user: Stage, step: Step) -> set[str]:
    user.act(step.act)
    return user.used()


def _is_missed(user: Stage, right: str, others: list[str], used: dict[Step, set[str]]) -> bool:
    """Tell whether some step is refused that needs this right."""
    user.grant(others)
    first = right[1:].split("|")[0]
    for step, commands in used.items():
        if right[0] == "+" and first not in commands:
            continue
        denied = user.act(step.act)
        if step.act is role_commands.examines:
            continue  # it asks for everything
        if step.act is role_commands.looks and first != "zadd":
            denied -= {"zadd"}  # `status` asks whether writes are taken
        if denied:
            return True
    return False


@ROLES
def test_role__is_kept_out_of_everything_else(any_server: Server, role: Role) -> None:
    """Other keys, other scripts on other keys, and the server itself are out of reach."""
    foreign: list[list[Any]] = [
        ["FLUSHDB"],
        ["FLUSHALL"],
        ["KEYS", "*"],
        ["CONFIG", "GET", "requirepass"],
        ["CONFIG", "GET", "masterauth"],
        ["CONFIG", "SET", "maxmemory", "1"],
        ["CLIENT", "LIST"],
        ["CLUSTER", "NODES"],
        ["MEMORY", "USAGE", "other"],
        ["SLOWLOG", "GET"],
        ["ACL", "LIST"],
        ["SHUTDOWN"],
        ["DEBUG", "SLEEP", "0"],
        ["EVAL", "return 1", 0],
        ["PUBLISH", "news", "x"],
        ["HGETALL", "other"],
        ["HGETALL", "{gn2:0}:meta"],
        ["HGETALL", "gn:0"],
    ]
    with stage(any_server, role) as user:
        reading = "return redis.call('HGETALL', 'other')"
        foreign.append(["EVALSHA", user.admin.script_load(reading), 0])
        with redis.Redis.from_url(user.url) as client:
            for command in foreign:
                with pytest.raises(redis.ResponseError, match=r"NOPERM|permission|can't"):
                    client.execute_command(*command)


def test_reader__may_run_no_command_that_writes(any_server: Server) -> None:
    """What the server calls a write is not in the reader's line, so every script that writes is
    refused at its first write.
    """
    with any_server.client(decode=True) as admin:
        writes: Any = admin.acl_cat("write")
    granted = {rule[1:].split("|")[0] for rule in line_of(Role.READER) if rule[0] == "+"}
    assert granted & set(writes) == set()


def test_reader__changes_nothing(any_server: Server, deploy: Deploy) -> None:
    """Every command that would change something is refused, and nothing is changed."""
    deployment = deploy(any_server)
    (member,) = deployment.bury()
    waiting = deployment.notify(due_at=deployment.now() + 3_600_000)
    with stage(any_server, Role.READER) as user:
        before = snapshot(deployment.client)
        command = CommandLine(user.url)
        for arguments in (
            f"cancel {waiting}",
            f"reschedule {waiting} 2100-01-01T00:00:00Z",
            f"dead replay {member} --yes",
            f"dead purge {member} --yes",
            "pause push",
            "resume push",
            "prefs silence u1",
        ):
            done = command.run(*arguments.split())
            assert done.exit_code != 0, (arguments, done.output)
        assert command.run("accept", stdin='{"type":"t","producer":"p","recipients":["u"]}')
        assert snapshot(deployment.client) == before


def test_producer__reads_no_events(any_server: Server, deploy: Deploy) -> None:
    """What was published to others is not for producers to read."""
    deployment = deploy(any_server)
    deployment.notify(**{k: v for k, v in PLAIN.items() if k != "recipients"})
    with stage(any_server, Role.PRODUCER) as user, redis.Redis.from_url(user.url) as client:
        stream = deployment.keys.stream
        for command in (["XRANGE", stream, "-", "+"], ["XREAD", "STREAMS", stream, "0"]):
            with pytest.raises(redis.ResponseError):
                client.execute_command(*command)
        user.grant([*line_of(Role.PRODUCER)[1:], "+xrange"])
        with pytest.raises(NoPermissionError):
            client.xrange(stream)


@ROLES
def test_doctor__knows_the_role_by_its_rights(any_server: Server, role: Role) -> None:
    """A missing right is told as that of the role, with the words that give it."""
    taken = {Role.INTAKE: "xpending", Role.GATEWAY: "lpos", Role.FEED: "xreadgroup"}.get(
        role, "hget"
    )
    with stage(any_server, role) as user, any_server.client() as admin:
        DeploymentFixture(any_server.url).close()
        told = user.permissions()
        assert told["level"] == "ok"
        assert f"of the role {role}" in told["what"]
        admin.execute_command("ACL", "SETUSER", user.user, f"-{taken}")
        told = user.permissions()
    assert told["level"] == "error"
    assert told["what"] == f"this user may not run {taken.upper()}"
    assert told["todo"] == f"ACL SETUSER … +{taken}"


def test_daemon__that_lacks_a_right_names_it_at_its_start(server: Server) -> None:
    """Each missing command and key is named with the words that give it, and it ends with 78."""
    login = {"redis__username": "galaxy-notify-daemon", "redis__password": PASSWORD}
    with stage(server, Role.DAEMON) as user:
        kept = [rule for rule in line_of(Role.DAEMON)[1:] if rule not in ("+xadd", "+zrem")]
        user.grant(kept)
        with daemon_on(server, **login, gateway__stream="news") as daemon:
            assert daemon.ended() == 78
            (line,) = [one for one in daemon.log.read_text().splitlines() if one[0] != "{"]
    rules = "~news +xadd +zrem"
    assert line.endswith(f"may not run XADD, ZREM or touch news: ACL SETUSER {user.user} {rules}")


def test_intake__that_lacks_a_right_names_it_at_its_start(server: Server) -> None:
    """A reader process, too, ends with 78 and the words that give what it lacks."""
    login: dict[str, Any] = {
        "redis__username": "galaxy-notify-intake",
        "redis__password": PASSWORD,
    }
    with stage(server, Role.INTAKE) as user:
        user.grant([rule for rule in line_of(Role.INTAKE)[1:] if rule != "+xreadgroup"])
        with intake_on(server, **login) as reader:
            assert reader.ended() == 78
            (line,) = [one for one in reader.log.read_text().splitlines() if one[0] != "{"]
        user.grant([rule for rule in line_of(Role.INTAKE)[1:] if rule != "~gn:intents"])
        with intake_on(server, **login) as reader:
            assert reader.ended() == 78
    assert line.endswith(f"may not run XREADGROUP: ACL SETUSER {user.user} +xreadgroup")


def test_daemon__that_loses_a_right_later_waits_and_tells_it(server: Server) -> None:
    """A right that is taken away is told at the edge; the daemon goes on."""
    login = {"redis__username": "galaxy-notify-daemon", "redis__password": PASSWORD}
    with stage(server, Role.DAEMON) as user, daemon_on(server, **login) as daemon:
        daemon.wait_for("daemon working")
        deployment = DeploymentFixture(server.url)
        deployment.notify()
        daemon.wait_for("batch settled")
        user.admin.execute_command("ACL", "SETUSER", user.user, "-zadd")
        deployment.notify()
        told = daemon.wait_for("redis unavailable")
        assert told["code"] == "NOPERM"
        assert daemon.process.poll() is None
        assert len(daemon.lines("redis unavailable")) == 1
        deployment.close()
