"""What operators and readers do with the endpoints of a user, as steps."""

from __future__ import annotations

import json
from collections.abc import Iterator

from galaxy_notify.channels.webhook_endpoint import NewEndpoint
from galaxy_notify.channels.webhook_endpoints import WebhookEndpoints
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.roles import Role
from tests.support.contacts import sections, variables
from tests.support.delivered_routes import dead, delivered, ended
from tests.support.deployment import DeploymentFixture
from tests.support.roles import Stage, step

#: Nothing is ever sent there: the port is not allowed.
_NOWHERE = "https://1.1.1.1:1/"


def _added(deployment: DeploymentFixture) -> str:
    endpoints = WebhookEndpoints(deployment.settings)
    flow = endpoints.add(deployment.key_space, NewEndpoint("u1", _NOWHERE))
    return run_flow_sync(deployment.client, flow).id


@step(Role.OPERATOR)
def changes_endpoints(stage: Stage) -> Iterator[None]:
    stage.deploy(**sections())
    yield
    added = stage.cli("webhooks", "add", "u1", "https://1.1.1.1/", "--json", settings=variables())
    if not added:  # denied
        return
    name = json.loads(added)["id"]
    for verb in ("rotate", "disable", "enable"):
        stage.cli("webhooks", verb, name, settings=variables())


@step(Role.OPERATOR)
def tries_endpoints(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(**sections())
    name = _added(deployment)
    ended(deployment, delivered, "hooks")
    ended(deployment, dead, "hooks")
    yield
    stage.cli("webhooks", "test", name, code=1, settings=variables())
    stage.cli("webhooks", "replay", name, "--since", "1h", code=4, settings=variables())


@step(Role.OPERATOR, Role.READER)
def looks_at_endpoints(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(**sections())
    name = _added(deployment)
    yield
    stage.cli("webhooks", "ls", "u1", settings=variables())
    stage.cli("webhooks", "attempts", name, settings=variables())
