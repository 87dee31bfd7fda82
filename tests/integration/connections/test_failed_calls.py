"""Unknown, refused just now and refused for good are three answers, each with what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import redis

from galaxy_notify import AsyncNotifier, Misconfigured, Notifier, ServerRefused, Unavailable
from galaxy_notify.errors import CallFailed
from galaxy_notify.intake.rules import rulings
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.redis_client.access import open_async, open_sync
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_all, run_all_sync, run_sync
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.settings import settings_from
from tests.support.command import NOWHERE, CommandLine
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.servers import Server

USER = "shop"
KEYED = {**PLAIN, "idempotency_key": "k"}


@contextmanager
def user_on(server: Server, *commands: str, keys: str = "*") -> Iterator[redis.Redis]:
    """Make a user with a password; give the connection of an admin."""
    found_deployment(server.url)
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
    found_deployment(any_server.url)
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


def test_round__without_the_right_to_load_a_script_is_in_doubt_where_another_ran(
    server: Server,
) -> None:
    """Half of it is done: the refusal of the other half says nothing of that."""
    keys = Keys("gn", 0)
    both = [calls.channel_pause(keys, "push"), calls.channel_resume(keys, "push")]
    access = {"url": server.url, "username": USER, "password": "right"}
    settings = settings_from({"redis": access})
    with user_on(server, "-script") as admin:

        def fault(client: redis.Redis) -> RedisFault:
            admin.script_flush()
            run_sync(admin, calls.channel_pause(keys, "email"))
            with pytest.raises(RedisFault) as raised:
                run_all_sync(client, both)
            return raised.value

        async def later() -> RedisFault:
            admin.script_flush()
            run_sync(admin, calls.channel_pause(keys, "email"))
            client = open_async(settings)
            with pytest.raises(RedisFault) as raised:
                await run_all(client, both)
            await client.aclose()
            return raised.value

        with closing(open_sync(settings)) as client:
            found_faults = [fault(client), asyncio.run(later())]
            admin.script_flush()
            with pytest.raises(RedisFault) as neither:
                run_all_sync(client, both)
    assert [one.fault.code for one in found_faults] == ["NOPERM"] * 2
    assert not any(one.wrote_nothing for one in found_faults)
    assert neither.value.wrote_nothing


def test_accept__refused_after_it_wrote_is_unknown(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal in a later round trip says nothing of what the earlier ones wrote."""
    settings = settings_from({"redis": {"url": server.url}, "limits": {"max_routes": 1}})
    where = "galaxy_notify.intake.accept.apply_rules"
    rounds: list[int] = []

    def with_memory_for(most: int) -> Any:
        def apply_rules(*args: Any, **options: Any) -> Any:
            rounds.append(1)
            if len(rounds) > most:
                admin.config_set("maxmemory", "1")
            return rulings.apply_rules(*args, **options)

        rounds.clear()
        admin.config_set("maxmemory", "0")
        return apply_rules

    keyed = {**PLAIN, "collapse_key": "c", "recipients": ["a", "b"], "idempotency_key": "parts"}
    with server.client() as admin, Notifier(settings) as notifier:
        try:
            monkeypatch.setattr(where, with_memory_for(0))
            with pytest.raises(Unavailable) as many:
                notifier.accept_many([KEYED, keyed])
            monkeypatch.setattr(where, with_memory_for(1))
            with pytest.raises(Unavailable) as single:
                notifier.accept(keyed)
        finally:
            admin.config_set("maxmemory", "0")
        for key in ("k", "parts"):
            assert admin.exists("{gn:0}:notification:" + id_for_key("lobby", key))
    assert many.value.code == single.value.code == "OOM"
    assert many.value.not_written == ()
    assert not isinstance(many.value, ServerRefused), many.value
    assert not isinstance(single.value, ServerRefused), single.value


def test_accept__without_an_answer_is_unknown() -> None:
    """Where nobody answers nothing is said of what was written, and it may be repeated."""
    error = failure(NOWHERE)
    assert type(error) is Unavailable
    assert error.not_written == ()
    assert error.notification_id


def test_cancel__refused_is_said_to_be(server: Server) -> None:
    """The other calls of a producer raise the same errors."""
    found_deployment(server.url)
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
