"""Whether we may do what we must, whether a write works, and whether the settings agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.operations.finding import AVAILABILITY, LOST, Finding
from galaxy_notify.operations.health import write_round_trip
from galaxy_notify.operations.refusal import refusal, way_out
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.nodes import at_shard, node_of
from galaxy_notify.redis_state.deployment import Deployment, try_all
from galaxy_notify.redis_state.joining import check_disk_sync
from galaxy_notify.redis_state.permissions import Refused
from galaxy_notify.redis_state.shared_settings import SharedSettings

# Nothing fails without them: doctor and status say themselves what they could not look at.
_LOOKS: Final = frozenset({"INFO", "MEMORY USAGE"})
#: What PTTL answers where there is no key.
_ABSENT: Final = -2


def permission_finding(refused: Refused) -> Finding:
    """Judge what the user may not do, by the role that it is likest to."""
    role = refused.role
    missing = refused.of(role)
    missing = replace(missing, commands=missing.commands - _LOOKS)
    if missing:
        what = f"this user may not {missing}"
        means = (
            f"it otherwise has the permissions of the role {role}; commands that need the missing "
            "ones fail, possibly half-way"
        )
        todo = f"ACL SETUSER … {missing.rules}"
        return Finding("error", "permissions", what, means, todo, AVAILABILITY)
    what = "all required commands are permitted"
    if refused:
        what = f"this user has the permissions of the role {role} only"
    return Finding("ok", "permissions", what)


def write_finding(deployment: Deployment) -> Finding:
    """Try a writing script on every shard."""
    try:
        seconds = write_round_trip(deployment)
    except RedisFault as fault:
        what = f"a writing script failed: {refusal(fault.fault)}"
        means = "nothing is accepted, published or cancelled; accepted notifications wait"
        todo = way_out(fault.fault.code)
        return Finding("error", "write", what, means, todo, AVAILABILITY)
    return Finding("ok", "write", f"a writing script took {seconds * 1000:.1f} ms")


def disk_finding(deployment: Deployment, durability: str) -> Finding | None:
    """Try on every primary whether its disk has a write in time, where that is waited for."""
    confirm = Confirmation.of(durability)
    by_node = {node_of(at_shard(deployment.client, keys.tag)): keys for keys in deployment.all_keys}
    try:
        for keys in by_node.values():
            check_disk_sync(deployment.client, keys, confirm)
    except (ConfigurationError, RedisFault) as error:
        text = refusal(error.fault) if isinstance(error, RedisFault) else str(error)
        means = "daemons refuse to start; accepting and publishing wait and are rarely confirmed"
        todo = (
            "CONFIG SET appendfsync always, and the same in its configuration; or another"
            " redis.durability"
        )
        return Finding("error", "durability", text, means, todo, AVAILABILITY)
    return None


def guard_findings(deployment: Deployment) -> Iterator[Finding]:
    """Find guard keys that exist: scripts name them as keys that never exist."""
    asked = try_all(deployment, (["PTTL", keys.never] for keys in deployment.all_keys))
    for keys, reply in zip(deployment.all_keys, asked, strict=True):
        if not isinstance(reply, RedisFault) and int(reply) != _ABSENT:
            what = f"the key {keys.never} exists; galaxy-notify never creates it"
            means = "in a cluster, while its slot moves, a script may see only some of its keys"
            todo = f"find the client that wrote it, then `redis-cli UNLINK '{keys.never}'`"
            yield Finding("warning", "guard", what, means, todo, LOST)


def agreement_findings(held: SharedSettings, mine: SharedSettings) -> Iterator[Finding]:
    """Compare what the deployment goes by with our settings."""
    differing = [
        f"{field.name} is {_shown(getattr(held, field.name))}, here"
        f" {_shown(getattr(mine, field.name))}"
        for field in fields(SharedSettings)
        if getattr(held, field.name) != getattr(mine, field.name)
    ]
    if not differing:
        yield Finding("ok", "settings", "the settings agree with the deployment")
        return
    what = f"the deployment's settings differ from those on this machine: {'; '.join(differing)}"
    means = "producers and consumers use the settings of the last started daemon"
    todo = "use one settings file everywhere, and restart the daemon after a change"
    yield Finding("warning", "settings", what, means, todo)


def _shown(value: object) -> str:
    return (",".join(value) if isinstance(value, tuple) else str(value)) or "unset"
