"""park: what can't be handled is put aside with the reason, and no longer pending."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.group import Parking, event_park
from tests.support.events import KEYS, event_fields, pending, publish
from tests.support.servers import Server


@pytest.fixture
def client(any_server: Server) -> Any:
    with any_server.client() as client:
        client.xgroup_create(KEYS.stream, "gateway", "0", mkstream=True)
        yield client


def _delivered(client: redis.Redis, number: int) -> str:
    (stream_id,) = publish(client, number)
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"})
    return stream_id


def _park(client: redis.Redis, stream_id: str, most: int = 1000) -> str:
    item = Parking(stream_id, 3, "no such user")
    word: bytes = run_sync(client, event_park(KEYS, "gateway", "gw-1", item, most))
    return word.decode()


def _parked(client: redis.Redis) -> list[dict[bytes, bytes]]:
    rows: Any = client.xrange(KEYS.parked)
    return [fields for _, fields in rows]


def test_park__keeps_the_entry_and_the_reason(client: redis.Redis) -> None:
    """A parked entry has all its fields, byte for byte, beside who gave it up and why."""
    stream_id = _delivered(client, 1)
    assert _park(client, stream_id) == "parked"
    (fields,) = _parked(client)
    head = {k: v for k, v in fields.items() if not k.startswith(b"entry.")}
    assert head == {
        b"group": b"gateway",
        b"consumer": b"gw-1",
        b"stream_id": stream_id.encode(),
        b"deliveries": b"3",
        b"reason": b"no such user",
    }
    for name, value in event_fields(1).items():
        raw = value if isinstance(value, bytes) else value.encode()
        assert fields[f"entry.{name}".encode()] == raw
    assert pending(client) == 0


def test_park__twice(client: redis.Redis) -> None:
    """A park whose answer was lost is sent again and parks nothing more."""
    stream_id = _delivered(client, 1)
    assert _park(client, stream_id) == "parked"
    assert _park(client, stream_id) == "stale"
    assert len(_parked(client)) == 1


def test_park__trimmed(client: redis.Redis) -> None:
    """An entry that was trimmed is only acknowledged."""
    stream_id = _delivered(client, 1)
    client.xtrim(KEYS.stream, maxlen=0, approximate=False)
    assert _park(client, stream_id) == "gone"
    assert pending(client) == 0
    assert _parked(client) == []


def test_park__is_bounded(client: redis.Redis) -> None:
    """The parked stream does not grow without end."""
    for number in range(300):
        assert _park(client, _delivered(client, number), most=10) == "parked"
    assert client.xlen(KEYS.parked) < 300


def test_park__too_many_fields(client: redis.Redis) -> None:
    """An entry of any number of fields can be parked; of very many, the first are kept."""
    client.xadd(KEYS.stream, {f"f{n}": n for n in range(10_000)})
    rows: Any = client.xrange(KEYS.stream)
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"})
    assert _park(client, rows[0][0].decode()) == "parked"
    (fields,) = _parked(client)
    assert len(fields) == 105


def test_park__without_the_group(client: redis.Redis) -> None:
    """Without the group nothing is written."""
    stream_id = _delivered(client, 1)
    client.xgroup_destroy(KEYS.stream, "gateway")
    with pytest.raises(RedisFault) as error:
        _park(client, stream_id)
    assert "NOGROUP" in error.value.fault.text
    assert _parked(client) == []


def test_park__at_maxmemory(client: redis.Redis) -> None:
    """A server that takes nothing more still lets entries be put aside."""
    stream_id = _delivered(client, 1)
    client.config_set("maxmemory", "1")
    try:
        assert _park(client, stream_id) == "parked"
    finally:
        client.config_set("maxmemory", "0")
