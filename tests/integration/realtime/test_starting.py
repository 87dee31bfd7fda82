"""A gateway that has just started: clients that come before it knows its deployment."""

from __future__ import annotations

from tests.support.events import write_deployment
from tests.support.gateways import GatewayProcess, as_settings
from tests.support.servers import Server


def test_client__that_comes_too_early_waits(server: Server) -> None:
    """In a rolling restart it has its stream a moment later; it is not sent away for seconds."""
    gateway = GatewayProcess(server, command="gateway", **as_settings())
    try:
        gateway.wait_for("gateway started")
        with server.client() as client:
            write_deployment(client, shards=2)
        with gateway.open() as stream:
            assert stream.status == 200
            assert stream.expect("hello").id == "0.0.0"
    finally:
        gateway.kill()
