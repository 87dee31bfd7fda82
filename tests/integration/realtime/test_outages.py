"""Redis away, gateways killed: clients stay or come back, and have every event once."""

from __future__ import annotations

import redis

from tests.support.gateways import Publisher, gateway_on, gateways_on
from tests.support.servers import Server


def test_redis_restarted__says_so_once_and_loses_nothing(own_server: Server) -> None:
    """Connections stay; each is told that events are late, and again that they are not."""
    with gateway_on(own_server) as gateway, gateway.open() as one, gateway.open("u2") as two:
        with own_server.client() as client:
            publish = Publisher(client)
            for stream in (one, two):
                stream.expect("hello")
            publish("u1", "u2")
            for stream in (one, two):
                assert stream.expect("notification").data["offset"] == 1
        own_server.kill()
        for stream in (one, two):
            assert stream.expect("status").data == {"live": False}
        with gateway.open("u3") as late:
            assert late.expect("status").data == {"live": False}
            own_server.start()
            assert sorted(late.frame().kind for _ in range(2)) == ["hello", "status"]
            with own_server.client() as client:
                publish = Publisher(client)
                publish.last = 10
                publish("u1", "u2", "u3", "u1")
            assert late.expect("notification").data["offset"] == 1
        for stream, offsets in ((one, [2, 3]), (two, [2])):
            frames = [stream.frame() for _ in range(len(offsets) + 1)]
            kinds = [frame.kind for frame in frames]
            assert sorted(kinds) == [*["notification"] * len(offsets), "status"]
            assert frames[kinds.index("status")].data == {"live": True}
            found = [frame.data["offset"] for frame in frames if frame.kind == "notification"]
            assert found == offsets


def test_redis_emptied__is_a_reset(own_server: Server) -> None:
    """A list that is gone cannot say what was missed: its clients are told, and go on."""
    with gateway_on(own_server, realtime__presence_ttl_ms=3000) as gateway:
        with own_server.client() as client, gateway.open() as stream:
            publish = Publisher(client)
            stream.expect("hello")
            publish("u1", "u1")
            cursor = [stream.until("notification")[-1].id for _ in range(2)][-1]
            for key in client.scan_iter("*recent*"):
                client.delete(key)
            publish("u1")
            assert stream.expect("reset").data["reason"] == "unknown"
            publish("u1")
            # The gateway may have noticed before the first of the two came: it is shown then.
            found = stream.expect("notification").data["offset"]
            assert found == 2 or stream.expect("notification").data["offset"] == 2
        with gateway.open("u1", cursor) as stream:
            assert [stream.frame().kind for _ in range(2)] == ["hello", "reset"]


def test_gateways__share_the_events(server: Server) -> None:
    """Whichever process reads an event, each stream of its user has it once, in order."""
    with server.client() as client, gateways_on(server, 2) as (first, second):
        publish = Publisher(client)
        with first.open() as one, second.open() as two, second.open("u2") as other:
            for stream in (one, two, other):
                stream.expect("hello")
            for _ in range(30):
                publish("u1", "u2", "u1")
            for stream, count in ((one, 60), (two, 60), (other, 30)):
                found = [stream.expect("notification").data["offset"] for _ in range(count)]
                assert found == list(range(1, count + 1))


def test_gateway_killed__costs_no_event(server: Server) -> None:
    """Its clients go on elsewhere; what it had read is delivered by the others."""
    settings = {"realtime__reclaim_idle_ms": 1000, "realtime__presence_ttl_ms": 3000}
    with server.client() as client, gateways_on(server, 2, **settings) as (first, second):
        publish = Publisher(client)
        with first.follower() as moving, second.follower("u2") as staying:
            for follower in (moving, staying):
                follower.connect()
            for _ in range(50):
                publish("u1", "u2")
            first.kill()
            for _ in range(50):
                publish("u1", "u2")
            moving.url = second.url
            # What the killed one had read comes late, behind newer ones.
            for first_number, follower in ((1, moving), (2, staying)):
                numbers = range(first_number, publish.last + 1, 2)
                follower.follow(*numbers)
                assert sorted(follower.numbers) == list(numbers)
            assert "reset" not in moving.kinds + staying.kinds
        # What it has left behind expires.
        assert not _kept(client, first.instance)


def _kept(client: redis.Redis, instance: str) -> list[bytes]:
    """Return the keys that name an instance and do not expire."""
    keys: list[bytes] = [*client.scan_iter("*inbox*"), *client.scan_iter("*presence*")]
    return [key for key in keys if instance.encode() in key and client.ttl(key) == -1]
