"""Every way in gives a delayed route the same due time, by what the daemon's settings say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify import AsyncNotifier, Notifier
from galaxy_notify.operations.deployment_checks import agreement_findings
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.joining import adopt_deployment, join_deployment
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import settings_from
from galaxy_notify.testing import deployment as local_deployment
from tests.support.api import api_on
from tests.support.background import background, drained
from tests.support.command import command_for
from tests.support.delays import DELAY_MS, DELAYED, lateness
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intake import hand_in, left, read_until
from tests.support.servers import Server

INTENT: dict[str, Any] = {
    "type": "t",
    "producer": "p",
    "recipients": ["u1"],
    "channels": ["in_app", "webhook"],
}


def _call(deployment: DeploymentFixture, url: str) -> str:
    with Notifier.from_url(url) as notifier:
        return notifier.accept(INTENT).notification_id or ""


def _many(deployment: DeploymentFixture, url: str) -> str:
    with Notifier.from_url(url) as notifier:
        return notifier.accept_many([INTENT])[0].notification_id or ""


def _shared_call(deployment: DeploymentFixture, url: str) -> str:
    async def accept() -> str:
        async with AsyncNotifier.from_url(url) as notifier:
            others = [{**INTENT, "recipients": [f"other-{n}"]} for n in range(8)]
            receipts = await asyncio.gather(*map(notifier.accept, [*others, INTENT]))
        return receipts[-1].notification_id or ""

    return asyncio.run(accept())


def _queue(deployment: DeploymentFixture, url: str) -> str:
    with background(url) as notifier:
        made = notifier.enqueue(INTENT)
        drained(notifier)
    return made or ""


def _stream(deployment: DeploymentFixture, url: str) -> str:
    hand_in(deployment.client, json.dumps(INTENT))
    # Its settings have no delays: the deployment's are what counts.
    reader = settings_from({"redis": {"url": url}})
    read_until(reader, lambda: not left(deployment.client), "it is accepted")
    (made,) = {member.partition("/")[0] for member in deployment.routes()}
    return made


WAYS = [_call, _many, _shared_call, _queue, _stream]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_way_in__delays(
    server: Server, deploy: Deploy, way: Callable[[DeploymentFixture, str], str]
) -> None:
    """A producer knows no settings but what the daemon has written into the deployment."""
    deployment = deploy(server, **DELAYED)
    made = way(deployment, server.url)
    assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": DELAY_MS}


def test_way_in__over_http(server: Server, deploy: Deploy) -> None:
    """Whatever the settings of the API itself say."""
    deployment = deploy(server, **DELAYED)
    with api_on(server) as process, process.client() as client:
        made = client.post("/v1/notifications", json=INTENT).json()["notification_id"]
        assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": DELAY_MS}
        later = deployment.now() + 3_600_000
        asked = client.patch(f"/v1/notifications/{made}", json={"due_at": later})
        assert asked.status_code == 200, asked.text
    route = deployment.route(f"{made}/webhook:u1")
    assert route.due_at_ms == later + DELAY_MS


def test_way_in__of_the_command_line(server: Server, deploy: Deploy) -> None:
    """`accept` and `reschedule`, which know no more than the address of Redis."""
    deployment, command = deploy(server, **DELAYED), command_for(server)
    (made,) = command.accept(INTENT)
    assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": DELAY_MS}
    later = deployment.now() + 3_600_000
    assert command.run("reschedule", made, str(later)).exit_code == 0
    shown = {one["route_id"]: one for one in command.told("show", made)["routes"]}
    assert shown["in_app:u1"]["due_at_ms"] == later
    assert shown["webhook:u1"]["due_at_ms"] == later + DELAY_MS


def test_way_in__of_a_deployment_inside_a_test() -> None:
    """The imitation of a server delays as a server does; with a clock of its own."""
    sections: dict[str, Any] = {
        "worker": {"channels": ["in_app", "webhook"]},
        "channels": {"webhook": {"kind": "log", "delay_ms": DELAY_MS}},
    }
    with local_deployment(**sections) as made:
        receipt = made.notifier.accept(INTENT)
        shown = made.inspector.show(receipt.notification_id or "")
        assert shown is not None
        due = {route.route_id: route.due_at_ms for route in shown.routes}
        assert due == {"in_app:u1": made.now_ms, "webhook:u1": made.now_ms + DELAY_MS}


def test_older_meta__knows_no_delays(server: Server, deploy: Deploy) -> None:
    """Producers work on it; the next daemon with these settings leads, and they follow."""
    deployment = deploy(server, **DELAYED)
    meta = deployment.keys.meta
    deployment.client.hdel(meta, "external", "delays", "default_channels")
    made = _call(deployment, server.url)
    assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": 0}
    mine = SharedSettings.from_settings(deployment.settings)
    older = run_flow_sync(deployment.client, adopt_deployment("gn"))
    (found,) = agreement_findings(older, mine)
    assert found.level == "warning"
    assert f"delays is unset, here webhook={DELAY_MS}" in found.what
    assert run_flow_sync(deployment.client, join_deployment("gn", mine)).delays == ()
    led = run_flow_sync(deployment.client, join_deployment("gn", mine, lead=True))
    assert (led.external, led.delays) == (mine.external, mine.delays)
    made = _call(deployment, server.url)
    assert lateness(deployment, made) == {"in_app:u1": 0, "webhook:u1": DELAY_MS}
    without = SharedSettings.from_settings(settings_from({"worker": {"channels": ["push"]}}))
    led = run_flow_sync(deployment.client, join_deployment("gn", without, lead=True))
    assert (led.external, led.delays) == ((), ())
