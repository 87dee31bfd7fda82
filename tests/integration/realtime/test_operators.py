"""What operators see of gateways that run: their users, and one that is frozen."""

from __future__ import annotations

import signal
from typing import Any

from tests.support.command import CommandLine, command_for
from tests.support.gateways import Publisher, gateways_on
from tests.support.servers import Server
from tests.support.wait import wait_until


def _gateway(command: CommandLine, name: str) -> dict[str, Any]:
    found = {one["id"]: one for one in command.told("status")["gateways"]}
    return dict(found.get(name, {}))


def test_frozen_gateway__is_seen_by_its_lag_and_its_state(any_server: Server) -> None:
    """Others deliver to its inbox: what waits there grows until it goes on, and is then 0."""
    command = command_for(any_server, WORKER__SHARDS="2")
    settings: dict[str, Any] = {"realtime__reclaim_idle_ms": 1000}
    with any_server.client() as client, gateways_on(any_server, 2, **settings) as (_, frozen):
        publish, name = Publisher(client), frozen.lines("gateway started")[-1]["instance"]
        with frozen.open("u1") as stream:
            stream.expect("hello")
            presence = command.told("presence", "show", "u1")
            assert [one["id"] for one in presence["instances"]] == [name]
            wait_until(lambda: _gateway(command, name).get("users") == 1, "it reports its user")
            frozen.process.send_signal(signal.SIGSTOP)
            try:
                publish(*["u1"] * 20)
                wait_until(lambda: _gateway(command, name)["lag"] > 0, "its inbox grows")
                assert _gateway(command, name)["state"] == "stopped"
                assert command.told("users", "show", "u1")["recent"]["length"] > 0
                # What it was given before it was frozen is another one's after a second.
                (warning,) = [one for one in command.told("health")["warnings"] if "stopped" in one]
                assert f"gateway {name} is stopped by a signal" in warning
            finally:
                frozen.process.send_signal(signal.SIGCONT)
            offsets = [stream.expect("notification").data["offset"] for _ in range(20)]
            assert offsets == list(range(1, 21))
            wait_until(lambda: _gateway(command, name)["lag"] == 0, "it has read its inbox")
        assert command.told("fsck")["findings"] == []


def test_gateway__that_ends_leaves_the_list(any_server: Server) -> None:
    """SIGTERM takes it out of the list, and its users out of presence."""
    command = command_for(any_server, WORKER__SHARDS="2")
    with gateways_on(any_server) as (gateway,), gateway.open("u1") as stream:
        stream.expect("hello")
        assert command.run("presence", "ls").stdout.startswith("u1  connected to ")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.ended() == 0
        assert command.told("status")["gateways"] == []
        assert command.run("presence", "show", "u1").exit_code == 3
