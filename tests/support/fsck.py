"""What the tests of ``fsck`` and of the janitor's check share."""

from __future__ import annotations

from galaxy_notify.fsck.faults import Inconsistency
from galaxy_notify.operations.fsck import Fsck
from galaxy_notify.redis_state.deployment import Deployment
from tests.support.dead import ACTOR
from tests.support.faults import FAULTS, VARIANTS, pending
from tests.support.site import Site

#: Name of a fault → its code, and what plants it.
ALL = {code: (code, plant) for code, plant in FAULTS.items()} | VARIANTS
CHANNELS = ["push", "email"]


def fsck(
    site: Site, *, fix: bool = False, deployment: Deployment | None = None
) -> list[Inconsistency]:
    """Run it to its end."""
    return list(Fsck(deployment or site.deployment, ACTOR, fix=fix).run())


def sound_parts(site: Site) -> None:
    """Hand in what is no fault: routes in every state, and a mark that waits for its part."""
    site.notify("a", "b")
    site.die("push", 0)
    site.notify("c", "d", "e", idempotency_key="k")
    site.station().step()
    site.notifier.cancel(site.notify("f"))
    pending(site)
    site.notify("g")
    assert site.claim("push", 0)
