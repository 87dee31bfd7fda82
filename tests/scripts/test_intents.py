"""admit, refuse, resubmit, forget: an entry of the intent stream is in one place, always."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import intents
from galaxy_notify.redis_state.consumer_names import consumer_forget
from tests.scripts.support.handed_in import GROUP, KEEPING, KEYS, given, reject_of
from tests.scripts.support.injection import refuse_nth
from tests.scripts.support.scenarios import SCENARIOS
from tests.scripts.support.shard import Shard, shard_on
from tests.support.servers import Server


@pytest.fixture
def client(any_server: Server) -> Any:
    with any_server.client() as client:
        yield client


def _run(client: redis.Redis, call: ScriptCall) -> Any:
    reply = run_sync(client, call)
    return reply.decode() if isinstance(reply, bytes) else reply


def _refuse(client: redis.Redis, stream_id: str, deliveries: int = 1) -> list[Any]:
    call = intents.intake_reject(KEYS, GROUP, reject_of(stream_id, deliveries), KEEPING)
    word, fallen = run_sync(client, call)
    return [word.decode(), fallen]


def _rejects(client: redis.Redis) -> list[tuple[str, dict[bytes, bytes]]]:
    rows: Any = client.xrange(KEYS.rejects)
    return [(made.decode(), fields) for made, fields in rows]


def _pending(client: redis.Redis) -> int:
    summary: Any = client.xpending(KEYS.stream, GROUP)
    return int(summary["pending"])


def test_admit__acknowledges_and_deletes(client: redis.Redis) -> None:
    """What was accepted is neither pending nor in the stream; its neighbour is both."""
    first, second, third = given(client, "a", "b", "c")
    assert _run(client, intents.intake_ack(KEYS, GROUP, [first, third])) == 2
    assert _run(client, intents.intake_ack(KEYS, GROUP, [first, third])) == 0
    rows: Any = client.xrange(KEYS.stream)
    assert [made.decode() for made, _ in rows] == [second]
    assert _pending(client) == 1


def test_admit__without_the_group_deletes(client: redis.Redis) -> None:
    """Where somebody destroyed the group, what was accepted does not come again."""
    ids = given(client, "a")
    client.xgroup_destroy(KEYS.stream, GROUP)
    assert _run(client, intents.intake_ack(KEYS, GROUP, ids)) == 1
    assert client.xlen(KEYS.stream) == 0


def test_refuse__keeps_the_text_and_the_reason(client: redis.Redis) -> None:
    """A reject has the bytes of the intent, whatever they are, and why it was rejected."""
    text = bytes(range(256))
    (stream_id,) = given(client, text)
    assert _refuse(client, stream_id) == ["rejected", 0]
    ((_, fields),) = _rejects(client)
    at_ms = int(fields.pop(b"at_ms"))
    assert at_ms >= int(stream_id.partition("-")[0])
    assert fields == {
        b"entry_id": stream_id.encode(),
        b"code": b"invalid",
        b"field": b"type",
        b"message": b"missing",
        b"deliveries": b"1",
        b"intent": text,
    }
    assert (client.xlen(KEYS.stream), _pending(client)) == (0, 0)
    assert _refuse(client, stream_id) == ["stale", 0]
    assert len(_rejects(client)) == 1


def test_refuse__of_a_trimmed_entry_only_acknowledges(client: redis.Redis) -> None:
    """There is nothing left to reject."""
    (stream_id,) = given(client, "a")
    client.xtrim(KEYS.stream, maxlen=0, approximate=False)
    assert _refuse(client, stream_id) == ["gone", 0]
    assert _pending(client) == 0
    assert _rejects(client) == []


def test_refuse__keeps_the_beginning_of_a_long_text(client: redis.Redis) -> None:
    """Of what is too large only the beginning is kept, with its size, and it is not replayed."""
    (stream_id,) = given(client, "x" * 5_000_000)
    assert _refuse(client, stream_id) == ["rejected", 0]
    ((reject_id, fields),) = _rejects(client)
    assert fields[b"bytes"] == b"5000000"
    assert len(fields[b"intent"]) == 1024
    assert _run(client, intents.intake_resubmit(KEYS, reject_id)) == "cut"


def test_refuse__of_many_fields_finds_the_intent(client: redis.Redis) -> None:
    """An entry of thousands of fields is rejected like any other."""
    client.xgroup_create(KEYS.stream, GROUP, "0", mkstream=True)
    fields: Any = {f"f{n}": n for n in range(5_000)} | {"intent": "here"}
    made: Any = client.xadd(KEYS.stream, fields)
    client.xreadgroup(GROUP, "reader-1", {KEYS.stream: ">"})
    assert _refuse(client, made.decode()) == ["rejected", 0]
    ((_, kept),) = _rejects(client)
    assert kept[b"intent"] == b"here"


def test_refuse__tells_what_fell_out(client: redis.Redis) -> None:
    """The rejects are bounded, and the oldest that go are counted."""
    answers = [_refuse(client, stream_id) for stream_id in given(client, *["a"] * 350)]
    assert {word for word, _ in answers} == {"rejected"}
    fallen = sum(number for _, number in answers)
    assert fallen > 0
    assert len(_rejects(client)) == 350 - fallen


def test_refuse__at_maxmemory(client: redis.Redis) -> None:
    """A server that takes nothing more still lets entries be put aside."""
    (stream_id,) = given(client, "a")
    client.config_set("maxmemory", "1")
    try:
        assert _refuse(client, stream_id) == ["rejected", 0]
    finally:
        client.config_set("maxmemory", "0")


@pytest.mark.parametrize("deliveries", [1, 2])
def test_resubmit__moves_once(client: redis.Redis, deliveries: int) -> None:
    """The text is in the stream again and the reject gone; what may have been accepted before
    keeps the id under which it is found.
    """
    (stream_id,) = given(client, b"\xff{")
    _refuse(client, stream_id, deliveries)
    ((reject_id, _),) = _rejects(client)
    call = intents.intake_resubmit(KEYS, reject_id)
    assert [_run(client, call), _run(client, call)] == ["moved", "gone"]
    rows: Any = client.xrange(KEYS.stream)
    known = {b"entry_id": stream_id.encode()} if deliveries > 1 else {}
    assert [fields for _, fields in rows] == [{b"intent": b"\xff{"} | known]
    assert _rejects(client) == []


def test_resubmit__without_an_intent(client: redis.Redis) -> None:
    """An entry that had no intent stays among the rejects."""
    client.xadd(KEYS.rejects, {"code": "invalid"})
    ((reject_id, _),) = _rejects(client)
    assert _run(client, intents.intake_resubmit(KEYS, reject_id)) == "bare"
    assert len(_rejects(client)) == 1


def test_resubmit__at_maxmemory_changes_nothing(client: redis.Redis) -> None:
    """What the stream does not take stays among the rejects."""
    _refuse(client, given(client, "a")[0])
    ((reject_id, _),) = _rejects(client)
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(RedisFault, match="OOM"):
            _run(client, intents.intake_resubmit(KEYS, reject_id))
    finally:
        client.config_set("maxmemory", "0")
    assert len(_rejects(client)) == 1


def test_forget__spares_who_holds_something(client: redis.Redis) -> None:
    """Whatever the caller has seen before, who holds an entry now is not forgotten."""
    names = [b"reader-1", b"reader-2", b"gone"]
    ids = given(client, "a")
    client.xgroup_createconsumer(KEYS.stream, GROUP, "reader-2")
    assert _run(client, consumer_forget(KEYS, GROUP, names)) == 2
    assert [row["name"] for row in client.xinfo_consumers(KEYS.stream, GROUP)] == [b"reader-1"]
    _run(client, intents.intake_ack(KEYS, GROUP, ids))
    assert _run(client, consumer_forget(KEYS, GROUP, names)) == 3
    assert client.xinfo_consumers(KEYS.stream, GROUP) == []


@pytest.mark.parametrize("name", ["intake_ack", "intake_reject", "intake_resubmit"])
def test_intent__is_in_one_place_whatever_is_refused(name: str, any_server: Server) -> None:
    """Whichever call fails, after another run each intent was done with, once."""
    number, refused = 1, True
    while refused:
        any_server.flush()
        with shard_on(any_server) as shard:
            call = SCENARIOS[name](shard)
            refused = bool(refuse_nth(shard, call, number).command)
            shard.run(call)
            assert (
                _places(shard)
                == {"intake_ack": (0, 0), "intake_reject": (0, 1), "intake_resubmit": (1, 0)}[name]
            )
        number += 1
    assert number > 2


def _places(shard: Shard) -> tuple[int, int]:
    lengths: Any = (shard.client.xlen(KEYS.stream), shard.client.xlen(KEYS.rejects))
    return (int(lengths[0]), int(lengths[1]))
