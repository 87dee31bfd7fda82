"""The rate of an external channel, which all processes of a deployment share."""

from __future__ import annotations

from typing import Any, NamedTuple

from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import ScriptCall, script
from galaxy_notify.redis_state.calls import time_argument
from galaxy_notify.redis_state.keys import Keys


class Taken(NamedTuple):
    """How many sends may be made now; if none, in how many ms the next one may."""

    sends: int
    pause_ms: int


def rate_take(
    keys: Keys, channel: str, interval_us: int, burst: int, wanted: int, now: int | None = None
) -> ScriptCall:
    """Take sends out of the rate; *keys* are those of the first shard.

    A repeat takes others: what was taken and not used is lost, so the rate is never exceeded.
    """
    args = [time_argument(now), interval_us, burst, wanted]
    return ScriptCall(script("rate_take"), [keys.rate(channel), keys.never], args)


@reader
def read_taken(reply: list[Any]) -> Taken:
    """Read the reply."""
    sends, pause_ms = reply
    return Taken(int(sends), int(pause_ms))
