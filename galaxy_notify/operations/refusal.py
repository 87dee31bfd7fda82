"""What Redis answered, as a person reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from galaxy_notify.redis_client.faults import Fault

_IN_SCRIPT: Final = re.compile(r"\.? script: [0-9a-f]{40}, on @user_script:\d+\.?")
# Not an answer of Redis, or one without a code: the text says it all.
_PLAIN: Final = frozenset({"connection", "timeout", "ERR"})
_WAYS_OUT: Final[Mapping[str, str]] = {
    "OOM": "raise maxmemory, or purge dead letters and lower retention.settled_ms",
    "MISCONF": "see the server's log; most often its disk is full",
    "READONLY": "point redis.url at the primary, or make this server one: REPLICAOF NO ONE",
    "NOREPLICAS": "bring its replicas back, or lower min-replicas-to-write",
    "NOPERM": "ACL SETUSER … +evalsha +script|load",
}


def way_out(code: str) -> str:
    """Return the remedy where Redis refuses writes with this code."""
    return _WAYS_OUT.get(code, "see the server's log")


def refusal(fault: Fault) -> str:
    """Return what Redis answered, and where, without the line of a script."""
    text = _IN_SCRIPT.sub("", fault.text).rstrip(".") + fault.where
    return text if fault.code in _PLAIN or text.startswith(fault.code) else f"{fault.code}: {text}"
