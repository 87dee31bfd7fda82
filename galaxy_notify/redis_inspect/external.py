"""What the workers report of the external channels that they serve."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_inspect.servers import Worker
from galaxy_notify.redis_state.deployment import Deployment, try_all
from galaxy_notify.redis_state.worker_process import EXTERNAL


@dataclass(frozen=True, slots=True)
class ExternalChannel:
    """An external channel, as its workers report it.

    *breakers_open* is how many hosts rest since they do not answer, added up over the workers.
    """

    kind: str
    breakers_open: int = 0


def read_external(deployment: Deployment, workers: Iterable[Worker]) -> dict[str, ExternalChannel]:
    """Return the external channels that these workers serve, by name; raise `RedisFault`."""
    alive = [worker.id for worker in workers if worker.state != "gone"]
    keys = deployment.key_space.keys(0)
    replies = try_all(deployment, (["HGET", keys.worker(name), EXTERNAL] for name in alive))
    found: dict[str, ExternalChannel] = {}
    for reply in replies:
        for name, one in _reported(reply):
            before = found.get(name)
            count = one.breakers_open + (before.breakers_open if before else 0)
            found[name] = ExternalChannel(one.kind, count)
    return found


def _reported(reply: Any) -> list[tuple[str, ExternalChannel]]:
    """Return what one worker reports; nothing where another client wrote it."""
    try:
        shown = json.loads(text(reply)) if isinstance(reply, bytes) else {}
        named = [(name, str(kind), int(count)) for name, (kind, count) in shown.items()]
    except (ValueError, TypeError, AttributeError):
        return []
    return [(name, ExternalChannel(kind, count)) for name, kind, count in named]
