"""How a gateway process stops, and what it leaves behind."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest

from tests.support.gateways import (
    GatewayProcess,
    Publisher,
    as_settings,
    authorized,
    gateway_on,
    gateways_on,
)
from tests.support.servers import Server
from tests.support.streams import StreamClient, connect
from tests.support.wait import wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop__says_goodbye_to_all_and_leaves_no_key(
    server: Server, number: signal.Signals
) -> None:
    """Every client is told when to come back; presence, inbox and registry are gone."""
    with (
        server.client() as client,
        gateway_on(server, realtime__drain_ms=500) as gateway,
        ExitStack() as stack,
    ):
        streams = [stack.enter_context(gateway.open(f"u{number}")) for number in range(20)]
        for stream in streams:
            stream.expect("hello")
        gateway.signal(number)
        endings = [stream.rest() for stream in streams]
        assert {frames[-1].data["reason"] for frames in endings} == {"shutdown"}
        assert all(frames[-1].data["retry_ms"] > 0 for frames in endings)
        assert gateway.ended() == 0
        left = {key.decode() for key in client.scan_iter()}
        assert not [key for key in left if "presence" in key or "inbox" in key]
        assert not [key for key in left if ":gateway" in key], left


def test_stop__delivers_until_the_last_client_has_left(server: Server) -> None:
    """While clients leave one by one, those who are still here get what comes."""
    with server.client() as client, gateway_on(server, realtime__drain_ms=60_000) as gateway:
        publish = Publisher(client)
        with gateway.open() as one, gateway.open() as two:
            for stream in (one, two):
                stream.expect("hello")
            gateway.signal(signal.SIGTERM)
            gateway.wait_for("gateway stop requested")
            publish("u1")
            found = [stream.frame().kind for stream in (one, two)]
            assert "notification" in found
            gateway.signal(signal.SIGTERM)
            assert gateway.ended() == 1
            assert gateway.lines("gateway exiting immediately")


@pytest.mark.extended
def test_stop__does_not_wait_for_those_who_read_nothing(server: Server) -> None:
    """What is not read cannot hold up the end."""
    with (
        server.client() as client,
        gateway_on(server) as gateway,
        StreamClient(connect(gateway.url, receive_bytes=4096), authorized()),
        gateway.open() as stream,
    ):
        publish = Publisher(client)
        stream.expect("hello")
        # More than the kernel takes for one who does not read.
        for _ in range(120):
            publish("u1", body="x" * 60_000)
            stream.until("notification")
        gateway.signal(signal.SIGTERM)
        assert stream.until("bye")[-1].data["reason"] == "shutdown"
        assert gateway.ended() == 0


def test_stop__while_redis_is_away_is_a_stop(own_server: Server) -> None:
    """Whatever Redis does, clients are told and the process ends with 0."""
    with gateway_on(own_server) as gateway, gateway.open() as stream:
        stream.expect("hello")
        own_server.kill()
        assert stream.expect("status").data == {"live": False}
        gateway.signal(signal.SIGTERM)
        assert stream.expect("bye").data["reason"] == "shutdown"
        assert gateway.ended() == 0
        own_server.start()


def test_start__waits_for_redis(own_server: Server) -> None:
    """Until there is a deployment clients are sent away for a while, and probes say so."""
    own_server.kill()
    gateway = GatewayProcess(own_server, command="gateway", **as_settings())
    try:
        with gateway.client() as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            assert client.get("/readyz").status_code == 503
            with gateway.open() as stream:
                (ending,) = stream.rest()
                assert ending.data["reason"] == "shutdown"
                # However many clients wait for Redis: they do not ask all the time.
                assert ending.data["retry_ms"] >= 1000
        own_server.start()
        with gateways_on(own_server) as _:
            gateway.ready()
            with gateway.open() as stream:
                stream.expect("hello")
        own_server.kill()
        with gateway.client() as client:
            wait_until(lambda: client.get("/readyz").status_code == 503, "it is not ready")
            assert "sock" not in client.get("/readyz").text
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
        own_server.start()
    finally:
        gateway.kill()


def test_stop__before_there_is_a_deployment_is_a_stop(server: Server) -> None:
    """It waits for nothing then."""
    gateway = GatewayProcess(server, command="gateway", **as_settings())
    try:
        with gateway.client() as client:
            assert client.get("/readyz").status_code == 503
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
    finally:
        gateway.kill()
