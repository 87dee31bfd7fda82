"""Edges in Redis: a key says on which side of a threshold a value was last."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import ScriptCall, script
from galaxy_notify.redis_state.calls import time_argument
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace

#: For how long an edge is kept after the last call, beside its cooldown: 30 days.
KEPT_MS: Final = 30 * 86_400_000


class Zone(StrEnum):
    """Where a value lies: at or over the upper threshold, at or under the lower one, or neither."""

    ABOVE = "above"
    BELOW = "below"
    BETWEEN = "between"


def edge_fire(
    keys: Keys, key: str, zone: Zone, cooldown_ms: int, call_id: str, now: int | None = None
) -> ScriptCall:
    """Move an edge; a repeat with the same *call_id*, 16 hex digits, moves nothing."""
    args = [time_argument(now), zone.value, cooldown_ms, call_id, KEPT_MS + cooldown_ms]
    return ScriptCall(script("edge_fire"), [keys.edge(key), keys.never], args)


@reader
def read_fired(reply: Any) -> bool:
    """Read the answer: whether the edge fires."""
    return bool({0: 0, 1: 1}[reply])


def fire_flow(
    key_space: KeySpace, key: str, zone: Zone, cooldown_ms: int, call_id: str
) -> Flow[bool]:
    """Return whether an edge fires. Raises `RedisFault`."""
    (reply,) = yield [edge_fire(key_space.keys_of_user(key), key, zone, cooldown_ms, call_id)]
    with as_fault("edge_fire"):
        return read_fired(unwrap(reply))
