"""route_publish on a server, a stream or a hash that refuses: what is written, and who goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.publish_call import read_published, route_publish
from tests.scripts.support.injection import Injected, refuse_all, refuse_nth, refuse_on
from tests.scripts.support.invariants import assert_at_rest, assert_consistent, converge
from tests.scripts.support.outcomes import publishing
from tests.scripts.support.scenarios import SCENARIOS
from tests.scripts.support.shard import LIMITS, TERMS, Shard, shard_on
from tests.scripts.support.snapshot import snapshot
from tests.support.servers import Server

#: Code of the fault → the setting that brings it about, and how it usually is.
_REFUSING = {
    "OOM": ("maxmemory", "1", "0"),
    "NOREPLICAS": ("min-replicas-to-write", "1", "0"),
}


def _call(shard: Shard) -> ScriptCall:
    return route_publish(shard.keys, "push", LIMITS, TERMS, shard.now)


def _backlog(shard: Shard) -> list[str]:
    """Accept a sole route, a group of three, and a sole one."""
    groups = (("push:u1",), ("push:u1", "push:u2", "push:u3"), ("push:u1",))
    return [m for number, routes in enumerate(groups, 1) for m in shard.accept(number, *routes)]


@contextmanager
def _configured(shard: Shard, name: str, value: str, usual: str) -> Iterator[None]:
    shard.client.config_set(name, value)
    try:
        yield
    finally:
        shard.client.config_set(name, usual)


@pytest.mark.parametrize("code", _REFUSING)
def test_publish__on_a_server_that_takes_no_writes(code: str, shard: Shard) -> None:
    """The call fails with the code of the server, nothing is written, and later all goes out."""
    _backlog(shard)
    before = snapshot(shard)
    with _configured(shard, *_REFUSING[code]), pytest.raises(RedisFault) as caught:
        shard.publish()
    assert caught.value.fault.code == code
    assert snapshot(shard) == before
    assert shard.publish().routes == 5
    assert_at_rest(shard)


def test_publish__on_a_replica(shard: Shard) -> None:
    """A server that was demoted says so, for the primary to be looked up again."""
    _backlog(shard)
    before = snapshot(shard)
    shard.client.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    try:
        with pytest.raises(RedisFault) as caught:
            shard.publish()
    finally:
        shard.client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
    assert caught.value.fault.code == "READONLY"
    assert snapshot(shard) == before


def _be_no_stream(shard: Shard) -> None:
    shard.client.set(shard.keys.stream, "foreign")


def _be_exhausted(shard: Shard) -> None:
    shard.client.xadd(shard.keys.stream, {"n": 1})
    last = f"{2**64 - 1}-{2**64 - 1}"
    shard.client.execute_command("XSETID", shard.keys.stream, last)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("spoil", [_be_no_stream, _be_exhausted])
def test_publish__into_a_stream_that_refuses(spoil: Callable[[Shard], None], shard: Shard) -> None:
    """All is left as it is; settle then says of each event why the stream does not take it."""
    members = _backlog(shard)
    spoil(shard)
    before = snapshot(shard)
    published = shard.publish()
    assert (published.word, published.routes, published.left) == ("published", 0, len(members))
    assert snapshot(shard) == before
    shard.claim()
    assert shard.words(publishing(shard, *members)) == ["refused"] * len(members)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_publish__refused_in_the_middle_keeps_what_is_done(number: int, shard: Shard) -> None:
    """What the stream took is published; the next call begins with what it refused."""
    members = _backlog(shard)
    refusal = _nth_of(shard, "XADD", number)
    published = read_published(refusal.reply)
    assert (published.routes, published.left) == (number - 1, 0)
    assert list(shard.schedule()) == members[number - 1 :]
    assert_consistent(shard)
    assert shard.publish().routes == len(members) - number + 1
    assert_at_rest(shard)


def _nth_of(shard: Shard, command: str, number: int) -> Injected:
    """Run publish with its call *number* of a command refused."""
    call, before, seen = _call(shard), dict(snapshot(shard)), 0
    for place in range(1, 100):
        trial = refuse_nth(shard, call, place)
        seen += trial.command == command
        if seen == number:
            return trial
        _restore(shard)
        assert snapshot(shard).keys() == before.keys()
    raise AssertionError(f"there is no {command} number {number}")


def _restore(shard: Shard) -> None:
    shard.client.flushdb()
    shard.journal.clear()
    _backlog(shard)


def test_publish__takes_events_back_without_their_states(shard: Shard) -> None:
    """A state that cannot be written costs its event; the other notifications are published."""
    members = _backlog(shard)
    states = [shard.state(member) for member in members]
    injected = refuse_on(shard, _call(shard), "HSET", shard.hash_of(members[1]))
    published = read_published(injected.reply)
    assert (published.routes, published.left) == (2, 3)
    assert shard.total("undone") == 3
    assert [shard.state(member) for member in members[1:4]] == states[1:4]
    assert list(shard.schedule()) == members[1:4]
    assert len(shard.events()) == shard.total("published") == 2
    assert published.types == [("game.ready", 2)]
    assert_consistent(shard)


def test_publish__without_any_state_publishes_nothing(shard: Shard) -> None:
    """Each event is taken back and counted as undone; all is left to a claim."""
    members = _backlog(shard)
    published = read_published(refuse_all(shard, _call(shard), "HSET").reply)
    assert (published.routes, published.left, published.types) == (0, 5, [])
    assert shard.events() == []
    assert shard.total("undone") == 5
    assert list(shard.schedule()) == members
    assert {shard.route(member).status for member in members} == {Status.PENDING}


def test_publish__that_cannot_leave_the_schedule_publishes_once(shard: Shard) -> None:
    """The state says that it is done; a claim drops the member as final."""
    _backlog(shard)
    published = read_published(refuse_all(shard, _call(shard), "ZREM").reply)
    assert published.routes == 5
    again = shard.publish()
    assert (again.routes, again.left) == (0, 5)
    assert len(shard.events()) == 5
    converge(shard)
    assert_at_rest(shard, exact=False)


_WRITES = ("xadd", "hset", "xdel", "zrem", "hincrby", "pexpire", "hmget", "xlen", "rpush")


@pytest.mark.parametrize("command", _WRITES)
def test_publish__without_a_permission_loses_nothing(command: str, any_server: Server) -> None:
    """Whichever permission is taken away, what is given back later goes its way."""
    with shard_on(any_server) as shard, any_server.client() as limited:
        call = SCENARIOS["route_publish"](shard)
        rules = ("reset", "on", "nopass", "~*", "&*", "+@all", f"-{command}")
        shard.client.execute_command("ACL", "SETUSER", "limited", *rules)  # type: ignore[no-untyped-call]
        limited.execute_command("AUTH", "limited", "any")
        with suppress(RedisFault):
            Shard(limited, now=shard.now).run(call)
        assert_consistent(shard)
        shard.run(call)
        converge(shard)
        assert_at_rest(shard, exact=command not in ("hincrby", "pexpire", "zrem"))
        shard.client.execute_command("ACL", "DELUSER", "limited")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("broken", ["schedule", "leases", "abandoned"])
def test_publish__beside_a_broken_index_changes_nothing(broken: str, shard: Shard) -> None:
    """The call fails before it writes: a claim would, too."""
    _backlog(shard)
    key = getattr(shard.keys, broken)("push")
    shard.client.delete(key)
    shard.client.set(key, "foreign")
    before = snapshot(shard)
    with pytest.raises(RedisFault, match="WRONGTYPE"):
        shard.publish()
    assert snapshot(shard) == before
