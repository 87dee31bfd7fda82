"""What the tests of ``fsck`` and of the janitor's check share."""

from __future__ import annotations

from galaxy_notify.fsck.faults import Inconsistency
from galaxy_notify.operations.fsck import Fsck
from galaxy_notify.redis_state.deployment import Deployment
from tests.support.dead_letters import ACTOR
from tests.support.deployment import DeploymentFixture
from tests.support.faults import FAULTS, VARIANTS, pending

#: Name of a fault → its code, and what plants it.
ALL = {code: (code, plant) for code, plant in FAULTS.items()} | VARIANTS
CHANNELS = ["push", "email"]


def fsck(
    deployment: DeploymentFixture, *, fix: bool = False, opened: Deployment | None = None
) -> list[Inconsistency]:
    """Run it to its end."""
    return list(Fsck(opened or deployment.connected, ACTOR, fix=fix).run())


def sound_parts(deployment: DeploymentFixture) -> None:
    """Hand in what is no fault: routes in every state, and a mark that waits for its part."""
    deployment.notify("a", "b")
    deployment.die("push", 0)
    deployment.notify("c", "d", "e", idempotency_key="k")
    deployment.worker_harness().step()
    deployment.notifier.cancel(deployment.notify("f"))
    pending(deployment)
    deployment.notify("g")
    assert deployment.claim("push", 0)
