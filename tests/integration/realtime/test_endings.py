"""How streams end, and that whoever comes back misses nothing."""

from __future__ import annotations

import time

import pytest

from tests.support.gateways import GatewayProcess, Publisher, authorized, gateway_on, token
from tests.support.servers import Server
from tests.support.streams import Follower, StreamClient, connect, request
from tests.support.wait import wait_until

_LARGE = "x" * 60_000


def test_rotation__loses_nothing(server: Server) -> None:
    """A stream that is old enough says when to come back; its events go on where it ended."""
    with (
        server.client() as client,
        gateway_on(server, realtime__max_age_ms=1000) as gateway,
        gateway.follower() as follower,
    ):
        publish = Publisher(client)
        follower.connect()
        while len(follower.endings) < 3:
            (number,) = publish("u1")
            follower.follow(number)
        assert set(follower.endings) == {"rotate"}
        assert follower.numbers == list(range(1, publish.last + 1))
        assert "reset" not in follower.kinds


def test_token__that_expires_ends_the_stream(server: Server) -> None:
    """It ends before its rotation; the token is refused from then on."""
    with gateway_on(server, realtime__jwt_leeway_ms=0) as gateway:
        opened, sent = _until_open(gateway)
        with opened as client:
            ending = client.until("bye")[-1].data
            assert ending["reason"] == "expired"
            assert ending["retry_ms"] > 0
            assert client.rest() == []
        with StreamClient(connect(gateway.url), sent) as client:
            assert client.status == 401
            assert 'error="invalid_token"' in client.headers["www-authenticate"]


def _until_open(gateway: GatewayProcess) -> tuple[StreamClient, bytes]:
    """Open a stream with a token of seconds, which may have expired before it is used."""
    while True:
        sent = request(Authorization=f"Bearer {token(exp=time.time() + 3)}")
        client = StreamClient(connect(gateway.url), sent)
        if client.status == 200:
            return client, sent
        client.close()


def test_streams__of_a_user_have_a_limit(server: Server) -> None:
    """The oldest stream ends, those that came later stay."""
    with server.client() as client, gateway_on(server, realtime__streams_per_user=2) as gateway:
        publish = Publisher(client)
        with gateway.open() as one, gateway.open() as two, gateway.open("u2") as other:
            for stream in (one, two, other):
                stream.expect("hello")
            with gateway.open() as three:
                three.expect("hello")
                assert one.expect("bye").data["reason"] == "too_many"
                publish("u1", "u2")
                assert {s.expect("notification").kind for s in (two, three, other)}
            assert one.rest() == []


def test_connections__have_a_limit(server: Server) -> None:
    """One who is too many is sent away for a while, with the status that has it come back."""
    with gateway_on(server, realtime__max_connections=2) as gateway:
        with gateway.open() as one, gateway.open("u2") as two:
            for stream in (one, two):
                stream.expect("hello")
            with gateway.open("u3") as three:
                (ending,) = three.rest()
                assert (three.status, ending.kind) == (200, "bye")
                assert ending.data["reason"] == "too_many"
                assert ending.retry_ms == ending.data["retry_ms"] >= 20_000
        wait_until(lambda: _first_kind(gateway) == "hello", "there is room again")


def test_connects__have_a_rate(server: Server) -> None:
    """More than so many a second are sent away; some time later they are let in."""
    with gateway_on(server, realtime__connects_per_s=1) as gateway:
        assert _first_kind(gateway) == "hello"
        wait_until(lambda: _first_kind(gateway) == "bye", "two come within a second")
        wait_until(lambda: _first_kind(gateway) == "hello", "it is let in")
        assert gateway.metric("galaxy_notify_realtime_ended_total")


def test_slow_client__is_cut_off_alone(server: Server) -> None:
    """Who does not read is told so at the end; others have all; a return misses nothing."""
    with (
        server.client() as client,
        gateway_on(server) as gateway,
        StreamClient(connect(gateway.url, receive_bytes=4096), authorized()) as slow,
        Follower(gateway.url, token()) as follower,
    ):
        publish = Publisher(client)
        follower.connect()
        # More than the kernel takes for one who does not read, in few steps: who has read nothing
        # for half a minute is dropped without a word.
        for _ in range(12):
            (number,) = publish("u1", body=_LARGE * 10)
            follower.follow(number)
        frames = slow.rest()
        wait_until(lambda: _ended(gateway, "slow") == 1, "its end is counted")
        assert (frames[0].kind, frames[-1].kind) == ("hello", "bye")
        assert frames[-1].data["reason"] == "slow"
        assert follower.endings == []
        assert len(frames) < publish.last
        offsets = [frame.data["offset"] for frame in frames if frame.kind == "notification"]
        assert offsets == list(range(1, len(offsets) + 1))
        assert follower.offsets == list(range(1, publish.last + 1))
        with gateway.open("u1", frames[-1].id) as again:
            assert again.expect("hello").data["resumed"] is True
            missed = [again.expect("notification") for _ in range(publish.last - len(offsets))]
            assert missed[0].data["offset"] == len(offsets) + 1


def test_event__larger_than_the_buffer_is_sent(server: Server) -> None:
    """A single message is never too large for a client that reads."""
    with server.client() as client, gateway_on(server, realtime__buffer_bytes=4096) as gateway:
        publish = Publisher(client)
        with gateway.open() as stream:
            stream.expect("hello")
            for _ in range(3):
                publish("u1", body=_LARGE * 4)
                assert len(stream.expect("notification").data["body"]) == len(_LARGE) * 4


def test_event__that_json_does_not_have_costs_nobody_else(server: Server) -> None:
    """A forged event is parked; the process and its users go on."""
    with server.client() as client, gateway_on(server) as gateway:
        publish = Publisher(client)
        with gateway.open() as stream, gateway.open("u2") as other:
            for one in (stream, other):
                one.expect("hello")
            publish("u1", data={"x": float("nan")})
            numbers = publish("u1", "u2")
            found = [one.expect("notification").data["data"] for one in (stream, other)]
            assert found == [{"number": number} for number in numbers]
        gateway.wait_for("event parked")


def _first_kind(gateway: GatewayProcess) -> str:
    with gateway.open("u9") as stream:
        return stream.frame().kind


def _ended(gateway: GatewayProcess, reason: str) -> float:
    values = gateway.metric("galaxy_notify_realtime_ended_total")
    return sum(value for labels, value in values.items() if f'"{reason}"' in labels)


@pytest.mark.parametrize(
    "text", ["a\nb\r\nc\rd", "\u2028\u2029\x85\0", "\ufeff: x", "event: bye\n\n"]
)
def test_text__of_an_event_makes_no_other_event(
    gateway: GatewayProcess, publish: Publisher, user: str, text: str
) -> None:
    """Whatever a producer writes, it is one event, and the text is unchanged."""
    with gateway.open(user) as client:
        client.expect("hello")
        publish(user, title=text, body=text, data={text: text})
        data = client.expect("notification").data
        assert (data["title"], data["body"], data["data"]) == (text, text, {text: text})
