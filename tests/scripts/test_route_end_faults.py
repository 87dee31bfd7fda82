"""route_end where Redis takes not every write: nothing that was sent is forgotten."""

from __future__ import annotations

import pytest
import redis

from galaxy_notify.redis_state.delivery_outcomes import read_ended
from tests.scripts.support.endings import ENDINGS, deliveries, end, ending, ending_call
from tests.scripts.support.injection import refuse, refuse_on
from tests.scripts.support.invariants import assert_at_rest, assert_consistent, assert_counted
from tests.scripts.support.shard import TTL, Shard
from tests.scripts.support.snapshot import snapshot
from tests.support.refusing import out_of_memory
from tests.support.servers import Server


def _leased(shard: Shard) -> str:
    (member,) = shard.accept(1)
    assert shard.claim().members
    return member


@pytest.mark.parametrize("word", ["deliver", "skip", "expire", "retry", "bury"])
def test_unwritten__stays_under_the_lease(word: str, shard: Shard) -> None:
    """A state that cannot be written changes nothing: the worker may repeat the call."""
    member = _leased(shard)
    call = ending_call(shard, [ending(shard, word, member)])
    before = snapshot(shard)
    refused = refuse_on(shard, call, "HSET", shard.hash_of(member))
    assert [a.word for a in read_ended(refused.reply, 1).answers] == ["fault"]
    assert snapshot(shard) == before
    assert [a.word for a in read_ended(shard.run(call), 1).answers] != ["fault"]
    assert_consistent(shard)
    assert_counted(shard)


@pytest.mark.parametrize(("word", "index"), [("retry", "schedule"), ("bury", "dead")])
def test_unindexed__keeps_its_state(word: str, index: str, shard: Shard) -> None:
    """Where the index cannot be written the state is put back, attempts included."""
    member = _leased(shard)
    before = snapshot(shard)
    call = ending_call(shard, [ending(shard, word, member)])
    key = {"schedule": shard.keys.schedule, "dead": shard.keys.dead}[index]("push")
    refused = refuse_on(shard, call, "ZADD", key)
    assert [a.word for a in read_ended(refused.reply, 1).answers] == ["fault"]
    assert snapshot(shard) == before


def test_unwritten_and_without_a_lease__counts_as_abandoned(shard: Shard) -> None:
    """If not even the lease can be put back, it is not forgotten that it may have been sent."""
    member = _leased(shard)
    call = ending_call(shard, [ending(shard, "retry", member)])
    source = "command == 'ZADD' or command == 'HSET' and key ~= '" + shard.keys.abandoned("push")
    assert refuse(shard, call, source + "'").command
    assert shard.leases() == {}
    assert shard.counts() == {member: 1}
    shard.now += TTL
    (claimed,) = shard.claim().members
    assert claimed.abandoned == 1


def test_entry__that_is_refused_costs_no_outcome(shard: Shard) -> None:
    """The outcome stands; only the list of the feed does not show the channel."""
    member = _leased(shard)
    shard.client.set(shard.keys.deliveries, "foreign")
    assert end(shard, ending(shard, "deliver", member)) == [("delivered", "")]
    assert_at_rest(shard)


@pytest.mark.parametrize("word", ENDINGS)
@pytest.mark.parametrize("loaded", [True, False])
def test_end__runs_at_maxmemory(word: str, loaded: bool, shard: Shard, any_server: Server) -> None:
    """What was sent is recorded where Redis takes no other write, also by a new script cache."""
    member = _leased(shard)
    call = ending_call(shard, [ending(shard, word, member)])
    if loaded:
        shard.client.script_load(call.script.source)
    else:
        shard.client.script_flush()
    if word == "drop":
        shard.client.delete(shard.hash_of(member))
    with out_of_memory(any_server):
        with pytest.raises(redis.OutOfMemoryError):
            shard.client.set("other", "write")
        (answer,) = read_ended(shard.run(call), 1).answers
    expected = {
        "deliver": "delivered",
        "skip": "skipped",
        "expire": "expired",
        "retry": "retried",
        "bury": "buried",
        "release": "released",
        "drop": "dropped",
    }
    assert answer.word == expected[word]
    assert len(deliveries(shard)) == (word in ("deliver", "skip", "expire", "bury"))
    assert_consistent(shard)
    assert shard.leases() == {}
