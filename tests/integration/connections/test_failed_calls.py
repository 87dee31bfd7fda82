"""Unknown, refused just now and refused for good are three answers, each with what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from galaxy_notify import AsyncNotifier, Misconfigured, Notifier, ServerRefused, Unavailable
from galaxy_notify.errors import CallFailed
from tests.support.command import NOWHERE, CommandLine
from tests.support.founding import found
from tests.support.intents import PLAIN
from tests.support.servers import Server

USER = "shop"
KEYED = {**PLAIN, "idempotency_key": "k"}


@contextmanager
def user_on(server: Server, *commands: str, keys: str = "*") -> Iterator[redis.Redis]:
    """Make a user with a password; give the connection of an admin."""
    found(server.url)
    with server.client() as admin:
        rules = ["+@all", *commands]
        admin.acl_setuser(USER, enabled=True, passwords=["+right"], commands=rules, keys=[keys])
        try:
            yield admin
        finally:
            admin.acl_deluser(USER)


@contextmanager
def full(server: Server) -> Iterator[None]:
    """Let the server have no memory left."""
    with server.client() as admin:
        admin.config_set("maxmemory", "1")
        try:
            yield
        finally:
            admin.config_set("maxmemory", "0")


@contextmanager
def replica(server: Server) -> Iterator[None]:
    """Let the server be a replica that serves on without its primary."""
    with server.client() as admin:
        admin.config_set("replica-serve-stale-data", "yes")
        admin.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            admin.replicaof("NO", "ONE")


def where_of(server: Server) -> str:
    """Return how an error names a server."""
    return server.url.partition("://")[2].partition("?")[0]


def failure(url: str, **access: Any) -> CallFailed:
    """Return what an accept raises, which is the same in asyncio."""

    async def accept() -> None:
        async with AsyncNotifier.from_url(url, **access) as notifier:
            await notifier.accept(KEYED)

    with Notifier.from_url(url, **access) as sync, pytest.raises(CallFailed) as raised:
        sync.accept(KEYED)
    with pytest.raises(CallFailed) as later:
        asyncio.run(accept())
    assert type(later.value) is type(raised.value)
    assert later.value.code == raised.value.code
    return raised.value


def test_accept__wrong_password_is_for_good(any_server: Server) -> None:
    """It is no outage to wait for: the user and the server are named, the password is not."""
    with user_on(any_server):
        error = failure(any_server.url, username=USER, password="wrong-one")
    assert isinstance(error, Misconfigured)
    assert not isinstance(error, Unavailable)
    assert error.code == "WRONGPASS"
    assert str(error).startswith("redis refuses: WRONGPASS")
    assert f"(user {USER} at " in str(error)
    assert where_of(any_server) in str(error)
    assert "wrong-one" not in str(error)
    assert error.notification_id


@pytest.mark.parametrize(
    ("commands", "keys", "allows"),
    [
        (["-zadd"], "*", "ACL SETUSER shop +zadd"),
        (["-evalsha"], "*", "ACL SETUSER shop +evalsha"),
        ([], "{other:*", "ACL SETUSER shop ~{gn:*}:*"),
    ],
)
def test_accept__names_the_missing_right(
    commands: list[str], keys: str, allows: str, any_server: Server
) -> None:
    """The text says what would allow it."""
    with user_on(any_server, *commands, keys=keys):
        error = failure(any_server.url, username=USER, password="right")
    assert isinstance(error, Misconfigured)
    assert error.code == "NOPERM"
    assert allows.partition("~")[0].strip() in str(error)
    assert "allows it" in str(error)
    assert f"user {USER} at {where_of(any_server)} may not " in str(error)


@pytest.mark.parametrize(("state", "code"), [(full, "OOM"), (replica, "READONLY")])
def test_accept__refused_wrote_nothing(state: Any, code: str, any_server: Server) -> None:
    """The server answered: nothing was written, and a repeat is accepted for the first time."""
    found(any_server.url)
    with Notifier.from_url(any_server.url) as notifier:
        notifier.accept(PLAIN)
        with state(any_server):
            with pytest.raises(ServerRefused, match="nothing was written") as raised:
                notifier.accept(KEYED)
            with pytest.raises(ServerRefused) as many:
                notifier.accept_many([KEYED, {**PLAIN, "type": ""}, PLAIN])
        assert raised.value.code == many.value.code == code
        assert all(where_of(any_server) in str(one.value) for one in (raised, many))
        assert many.value.not_written == (0, 2)
        assert [one and one.status for one in many.value.receipts] == [None, "refused", None]
        again = notifier.accept(KEYED, notification_id=raised.value.notification_id)
        assert again.status == "accepted"


def test_accept__without_an_answer_is_unknown() -> None:
    """Where nobody answers nothing is said of what was written, and it may be repeated."""
    error = failure(NOWHERE)
    assert type(error) is Unavailable
    assert error.not_written == ()
    assert error.notification_id


def test_cancel__refused_is_said_to_be(server: Server) -> None:
    """The other calls of a producer raise the same errors."""
    found(server.url)
    with Notifier.from_url(server.url) as notifier:
        made = notifier.accept({**PLAIN, "due_at": "2100-01-01T00:00:00Z"})
        with full(server), pytest.raises(ServerRefused) as raised:
            notifier.cancel(made.notification_id or "")
        assert raised.value.notification_id == made.notification_id
        with full(server), pytest.raises(Unavailable) as later:
            notifier.preferences.silence("u1")
        assert later.value.code == "OOM"
        assert notifier.cancel(made.notification_id or "").cancelled == 1


def test_command__tells_unknown_from_refused(server: Server) -> None:
    """`accept` says which lines were not written, and which are unknown."""
    command, lines = CommandLine(server.url), "\n".join(map(json.dumps, [PLAIN, {}, PLAIN]))
    command.accept(PLAIN)
    with full(server):
        done = command.run("accept", stdin=lines)
    assert done.exit_code == 1
    assert "not written: line" in done.stderr
    assert "OOM" in done.stderr
    assert "unknown: " not in done.stderr
    assert "away" not in done.stderr
    away = CommandLine(NOWHERE).run("accept", stdin=lines)
    assert away.exit_code == 1
    assert "redis is away" in away.stderr
    assert "unknown: line" in away.stderr


def test_command__names_user_and_right(server: Server) -> None:
    """A permanent refusal is a matter of configuration for every command."""
    with user_on(server, "-zadd"):
        own = {"REDIS__USERNAME": USER, "REDIS__PASSWORD": "right"}
        done = CommandLine(server.url, own).run("accept", stdin=json.dumps(PLAIN))
        assert done.exit_code == 78
        assert f"ACL SETUSER {USER} +zadd" in done.stderr
        own["REDIS__PASSWORD"] = "wrong"
        for name in ("accept", "list", "status", "health"):
            done = CommandLine(server.url, own).run(name, stdin=json.dumps(PLAIN))
            assert done.exit_code == 78
            assert "redis refuses: WRONGPASS" in done.stderr
            assert f"user {USER} at " in done.stderr
