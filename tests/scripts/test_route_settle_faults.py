"""settle on a server or a stream that refuses: who is told, and what is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.settlement import Settlement, read_settled
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.invariants import assert_at_rest, assert_consistent, converge
from tests.scripts.support.outcomes import OUTCOMES, outcome, publishing
from tests.scripts.support.scenarios import SCENARIOS
from tests.scripts.support.shard import MINE, Shard, shard_on
from tests.scripts.support.snapshot import snapshot
from tests.support.servers import Server
from tests.support.wait import wait_until

Trouble = Callable[[Shard], None]


@contextmanager
def _configured(shard: Shard, name: str, value: str, usual: str) -> Iterator[None]:
    shard.client.config_set(name, value)
    try:
        yield
    finally:
        shard.client.config_set(name, usual)


#: Code of the fault → the setting that brings it about, and how it usually is.
_REFUSING = {
    "OOM": ("maxmemory", "1", "0"),
    "NOREPLICAS": ("min-replicas-to-write", "1", "0"),
}


def _command(client: Any, *words: str) -> None:
    client.execute_command(*words)


def _all_outcomes(shard: Shard) -> Settlement:
    members = [shard.accept(number)[0] for number in range(1, 6)]
    shard.claim()
    settlement = Settlement()
    for word, member in zip(OUTCOMES, members, strict=False):
        outcome(shard, word, member, settlement)
    return settlement


@pytest.mark.parametrize("code", _REFUSING)
def test_settle__on_a_server_that_takes_no_writes_changes_nothing(code: str, shard: Shard) -> None:
    """The whole call fails with the code of the server, and later goes through as it is."""
    settlement = _all_outcomes(shard)
    before = snapshot(shard)
    with _configured(shard, *_REFUSING[code]), pytest.raises(RedisFault) as caught:
        shard.settle(settlement)
    assert caught.value.fault.code == code
    assert snapshot(shard) == before
    assert "stale" not in shard.words(settlement)
    assert_consistent(shard)


def test_settle__on_a_disk_that_is_full_changes_nothing(server: Server) -> None:
    """MISCONF is the server's trouble, and nobody's attempt is spent."""
    (server.folder / "blocked").mkdir(exist_ok=True)
    with shard_on(server) as shard, ExitStack() as stack:
        settlement = _all_outcomes(shard)
        before = snapshot(shard)
        # Runs last: `doctor` reports a failed snapshot to every later test on this server.
        stack.callback(_save_again, shard)
        stack.enter_context(_configured(shard, "save", "3600 1000000", ""))
        stack.enter_context(_configured(shard, "dbfilename", "blocked", "dump.rdb"))
        shard.client.bgsave()
        wait_until(lambda: _last_save(shard) == "err", "the save fails")
        with pytest.raises(RedisFault) as caught:
            shard.settle(settlement)
        assert caught.value.fault.code == "MISCONF"
        assert snapshot(shard) == before


def _save_again(shard: Shard) -> None:
    shard.client.bgsave()
    wait_until(lambda: _last_save(shard) == "ok", "a save succeeds")


def _last_save(shard: Shard) -> str:
    return str(shard.client.info("persistence")["rdb_last_bgsave_status"])


def test_settle__on_a_replica_changes_nothing(shard: Shard) -> None:
    """A server that was demoted says so, for the primary to be looked up again."""
    settlement = _all_outcomes(shard)
    before = snapshot(shard)
    _command(shard.client, "REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(RedisFault) as caught:
            shard.settle(settlement)
    finally:
        _command(shard.client, "REPLICAOF", "NO", "ONE")
    assert caught.value.fault.code == "READONLY"
    assert snapshot(shard) == before


def test_settle__without_publishing_needs_no_memory(shard: Shard) -> None:
    """What only ends leases begins with a removing command, so that it runs at maxmemory."""
    members = [shard.accept(number)[0] for number in (1, 2)]
    shard.claim()
    settlement = outcome(shard, "release", members[1], outcome(shard, "bury", members[0]))
    with _configured(shard, *_REFUSING["OOM"]):
        assert shard.words(settlement) == ["buried", "released"]
    assert_consistent(shard)


def _be_no_stream(shard: Shard) -> None:
    shard.client.set(shard.keys.stream, "foreign")


def _be_exhausted(shard: Shard) -> None:
    shard.client.xadd(shard.keys.stream, {"n": 1})
    last = f"{2**64 - 1}-{2**64 - 1}"
    _command(shard.client, "XSETID", shard.keys.stream, last)


@pytest.mark.parametrize("spoil", [_be_no_stream, _be_exhausted])
def test_settle__into_a_stream_that_refuses_keeps_the_lease(spoil: Trouble, shard: Shard) -> None:
    """What the stream does not take is answered, and its holder may settle it otherwise."""
    members = [shard.accept(number)[0] for number in (1, 2)]
    shard.claim()
    spoil(shard)
    before = snapshot(shard)
    settlement = publishing(shard, *members)
    answers = shard.settle(settlement)
    assert [answer.word for answer in answers] == ["refused"] * 2
    assert all(answer.detail for answer in answers)
    assert snapshot(shard) == before
    again = outcome(shard, "release", members[0], outcome(shard, "retry", members[1]))
    assert shard.words(again) == ["retried", "released"]


@pytest.mark.parametrize("spoil", [_be_no_stream, _be_exhausted])
def test_settle__into_a_stream_that_refuses_settles_the_rest(spoil: Trouble, shard: Shard) -> None:
    """The other outcomes of the batch come about; what was refused keeps its lease."""
    settlement = _all_outcomes(shard)
    refused = settlement.members[0].decode()
    spoil(shard)
    leases = shard.leases()
    words = shard.words(settlement)
    assert words == ["refused", "retried", "buried", "expired", "released"]
    assert shard.leases() == {refused: leases[refused]}


#: Commands that a settle uses to write, each taken away by the server's access rules.
_WRITES = ("xadd", "hdel", "hset", "xdel", "zadd", "zrem", "hincrby", "pexpire", "hmget")


@pytest.mark.parametrize("command", _WRITES)
def test_settle__without_a_permission_loses_nothing(command: str, any_server: Server) -> None:
    """Whichever permission is taken away, what is given back later goes its way."""
    with shard_on(any_server) as shard, any_server.client() as limited:
        call = SCENARIOS["route_settle"](shard)
        name = "limited"
        rules = ("reset", "on", "nopass", "~*", "&*", "+@all", f"-{command}")
        _command(shard.client, "ACL", "SETUSER", name, *rules)
        _command(limited, "AUTH", name, "any")
        with suppress(RedisFault):
            Shard(limited, now=shard.now).run(call)
        undone = command != "xdel"
        assert_consistent(shard, undone=undone)
        shard.run(call)
        converge(shard)
        assert_at_rest(shard, exact=command in ("xadd", "hdel", "hmget"), undone=undone)
        _command(shard.client, "ACL", "DELUSER", name)


@pytest.mark.parametrize("word", ["retry", "bury", "release"])
def test_settle__that_cannot_index_says_so(word: str, shard: Shard) -> None:
    """What could not be put into its index is a fault, counts for nothing, and comes up again."""
    (member,) = shard.accept(1)
    shard.claim()
    call = outcome(shard, word, member).call(shard.keys, "push", MINE)
    injected = refuse_all(shard, call, "ZADD")
    assert read_settled(injected.reply).answers == [("fault", "ERR injected")]
    assert shard.route(member).status is not Status.DEAD_LETTER
    assert member in shard.schedule()
    assert shard.total("retried") == shard.total("dead_lettered") == 0


@pytest.mark.parametrize("word", ["publish", "retry", "bury", "expire"])
def test_settle__that_cannot_write_a_state_says_so(word: str, shard: Shard) -> None:
    """A state that was not written is a fault, whatever the outcome; no event is left of it."""
    (member,) = shard.accept(1)
    shard.claim()
    before = shard.state(member)
    call = outcome(shard, word, member).call(shard.keys, "push", MINE)
    injected = refuse_all(shard, call, "HSET")
    assert read_settled(injected.reply).answers == [("fault", "ERR injected")]
    assert shard.state(member) == before
    assert shard.events() == []
    assert member in shard.schedule()
    assert shard.total("undone") == int(word == "publish")


@pytest.mark.parametrize("broken", ["schedule", "dead", "leases"])
def test_settle__into_a_broken_index_changes_nothing(broken: str, shard: Shard) -> None:
    """Nothing is published that could not leave the schedule: the call fails before it writes."""
    settlement = _all_outcomes(shard)
    key = getattr(shard.keys, broken)("push")
    shard.client.delete(key)
    shard.client.set(key, "foreign")
    before = snapshot(shard)
    with pytest.raises(RedisFault, match="WRONGTYPE"):
        shard.settle(settlement)
    assert snapshot(shard) == before
