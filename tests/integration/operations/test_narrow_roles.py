"""The users of ``config/users-selectors.acl``: each writes only what is its own to write."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
import redis

from galaxy_notify.redis_state.roles import RIGHTS, Role
from tests.integration.operations.test_roles import EXAMINES, LOOKS_ON, PROBED
from tests.support.deployment import DeploymentFixture
from tests.support.monitored import Ran, monitored
from tests.support.roles import NARROW_FILE, STEPS, line_of, stage
from tests.support.servers import Server, running, servers_found
from tests.support.suite import runs_all

ROLES = pytest.mark.parametrize("role", list(Role))
#: What knows selectors; one of them in `make test`.
SERVERS = [name for name, found in servers_found().items() if not found.version.startswith("6.")]
#: What only takes back a write whose second half failed.
UNDONE = {
    (Role.INTAKE, "XDEL", "INTENTS:rejects"),
    (Role.OPERATOR, "XDEL", "INTENTS"),
}
#: A key and a command that a role needs.
LACKED = {
    Role.DAEMON: ("~{gn:*}:orphans", "+zscan"),
    Role.PRODUCER: ("~{gn:*}:cooldown:*", "+zrange"),
    Role.INTAKE: ("~{gn:*}:cooldown:*", "+zrange"),
    Role.CONSUMER: ("~{gn:*}:seen:*", "+zmscore"),
    Role.GATEWAY: ("~{gn:*}:recent:*", "+lpos"),
    Role.FEED: ("~{gn:*}:unread:*", "+zrevrangebyscore"),
}
#: What the plain line of a role allows, and this one does not.
DESTROYS: dict[Role, list[list[str]]] = {
    Role.CONSUMER: [
        ["XTRIM", "{gn:0}:client-events", "MAXLEN", "0"],
        ["PEXPIRE", "{gn:0}:client-events", "1"],
        ["XADD", "{gn:0}:client-events", "*", "user_id", "u1"],
        ["ZADD", "{gn:0}:never", "1", "x"],
        ["HDEL", "{gn:0}:meta", "shards"],
    ],
    Role.GATEWAY: [
        ["XTRIM", "{gn:0}:client-events", "MAXLEN", "0"],
        ["XADD", "{gn:0}:client-events", "*", "user_id", "u1"],
        ["DEL", "{gn:0}:parked"],
        ["ZADD", "{gn:0}:never", "1", "x"],
        ["HSET", "{gn:0}:meta", "shards", "7"],
        ["HGETALL", "{gn:0}:notification:1"],
    ],
    Role.FEED: [
        ["XTRIM", "{gn:0}:client-events", "MAXLEN", "0"],
        ["XADD", "{gn:0}:client-events", "*", "user_id", "u1"],
        ["DEL", "{gn:0}:feed_backlog"],
        ["XTRIM", "{gn:0}:feed_backlog", "MAXLEN", "0"],
        ["ZADD", "{gn:0}:never", "1", "x"],
        ["HSET", "{gn:0}:meta", "shards", "7"],
        ["HGETALL", "{gn:0}:notification:1"],
    ],
    Role.PRODUCER: [
        ["DEL", "{gn:0}:schedule:push"],
        ["DEL", "{gn:0}:accepted"],
        ["PEXPIRE", "{gn:0}:schedule:push", "1"],
        ["SET", "{gn:0}:never", "x"],
        ["HSET", "{gn:0}:meta", "shards", "7"],
        ["HSET", "{gn:0}:totals", "accepted", "7"],
        ["DEL", "gn:intents"],
    ],
    Role.INTAKE: [
        ["DEL", "gn:intents"],
        ["XTRIM", "gn:intents", "MAXLEN", "0"],
        ["SET", "gn:intents:never", "x"],
        ["HSET", "{gn:0}:meta", "shards", "7"],
    ],
    Role.DAEMON: [
        ["DEL", "{gn:0}:schedule:push"],
        ["DEL", "{gn:0}:client-events"],
        ["SET", "{gn:0}:never", "x"],
        ["HDEL", "{gn:0}:meta", "shards"],
        ["XTRIM", "{gn:0}:parked", "MAXLEN", "0"],
    ],
    Role.OPERATOR: [
        ["DEL", "{gn:0}:schedule:push"],
        ["UNLINK", "{gn:0}:client-events"],
        ["XDEL", "{gn:0}:client-events", "1-1"],
        ["SET", "{gn:0}:never", "x"],
        ["HSET", "{gn:0}:meta", "shards", "7"],
    ],
    Role.READER: [["SET", "{gn:0}:never", "x"]],
}


@pytest.fixture(scope="module", params=SERVERS if runs_all() else SERVERS[:1])
def narrow_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Give a server that knows selectors."""
    with running(servers_found()[request.param]) as server:
        yield server


def test_narrow_file__says_what_the_code_knows(narrow_server: Server) -> None:
    """One line for each role, and a server takes the file; its users cannot log in yet."""
    lines = [rights.narrow_line(role) for role, rights in RIGHTS.items()]
    assert NARROW_FILE.read_text() == "\n".join([*lines, ""])
    binary = narrow_server.binary
    with running(binary, aclfile=str(NARROW_FILE)) as server, server.client() as admin:
        users: Any = admin.acl_list()
    ours = [user for user in users if "galaxy-notify" in user]
    assert len(ours) == len(Role)
    assert all(user.split()[2] == "off" for user in ours)


@ROLES
def test_narrow_role__may_do_its_whole_job(narrow_server: Server, role: Role) -> None:
    """No part of the job is refused, and each command that writes is run on each of its keys."""
    with stage(narrow_server, role, NARROW_FILE) as user, monitored(narrow_server) as ran:
        for name, step in STEPS[role].items():
            denied = user.act(step.act)
            if name == EXAMINES:
                denied = {one for one in denied if one not in PROBED and one[:1].isalpha()}
                denied -= {"exec", "multi"}
            if name == LOOKS_ON and role is Role.READER:
                denied -= {"zadd"}
            assert denied == set(), name
    assert list(_needless(role, ran)) == []


def _needless(role: Role, ran: Ran) -> Iterator[tuple[str, str]]:
    for keys, commands in RIGHTS[role].writes:
        for key in keys:
            pattern = key.replace("PREFIX", "{gn").replace("INTENTS", "gn:intents")
            for command in commands:
                used = any(fnmatchcase(word, pattern) for word in ran.keys_of(command))
                if not used and (role, command, key) not in UNDONE:
                    yield command, key


@ROLES
def test_narrow_role__cannot_destroy_what_others_need(narrow_server: Server, role: Role) -> None:
    """It writes no guard, no settings of the deployment, and nothing that is not of its job."""
    narrow_server.flush()
    with stage(narrow_server, role, NARROW_FILE) as user:
        DeploymentFixture(narrow_server.url).close()
        with redis.Redis.from_url(user.url) as client:
            for command in DESTROYS[role]:
                with pytest.raises(redis.ResponseError, match=r"NOPERM|permission"):
                    client.execute_command(*command)


def test_narrow_line__comes_after_the_plain_one(narrow_server: Server) -> None:
    """Run over the plain line it narrows it, and it keeps the password."""
    with stage(narrow_server, Role.CONSUMER) as user:
        rules = line_of(Role.CONSUMER, NARROW_FILE)[1:]
        for _ in range(2):
            user.admin.execute_command("ACL", "SETUSER", user.user, *rules)
        told: Any = user.admin.acl_getuser(user.user)
        assert len(told["passwords"]) == 1
        assert len(told["selectors"]) == len(RIGHTS[Role.CONSUMER].writes)
        with redis.Redis.from_url(user.url) as client, pytest.raises(redis.ResponseError):
            client.xtrim("{gn:0}:client-events", 0)


@ROLES
def test_narrow_role__is_known_by_its_rights(narrow_server: Server, role: Role) -> None:
    """A command that is allowed on some keys is no missing right; a key that is lacking is one."""
    narrow_server.flush()
    with stage(narrow_server, role, NARROW_FILE) as user:
        DeploymentFixture(narrow_server.url).close()
        told = user.permissions()
        assert told["level"] == "ok"
        assert f"of the role {role}" in told["what"]
        if role not in LACKED:
            return  # one pattern has all of its keys
        words = line_of(role, NARROW_FILE)[1:]
        user.grant([word for word in words if word not in LACKED[role]])
        told = user.permissions()
    assert told["todo"] == f"ACL SETUSER … {' '.join(LACKED[role])}"
