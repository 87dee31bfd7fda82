"""Whether anybody reads the groups of a stream: when consumers were seen, and what they hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.model.wording import duration
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.nodes import serving
from galaxy_notify.redis_client.replies import pairs, text
from galaxy_notify.redis_state.deployment import Deployment, try_all
from galaxy_notify.redis_state.group_report import has_no_key

#: A stream and one of its groups.
GroupName = tuple[str, str]

#: This many of the oldest unacknowledged entries are read.
_LOOKED_AT: Final = 1_000
#: A group of which a consumer was seen within this time is in use.
IN_USE_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class Readers:
    """Who reads a group; each part says whether it is *known*, as the user may lack the right.

    *seen_ms* is how long ago one of its consumers last asked for entries, None where it has no
    consumer. Before Redis 7.2 an asking that is given nothing is not noted: *notes_waiting* says
    that this server notes it. *held_ms* is how long ago the entry was delivered that *holder* holds
    for longest, None where none is held; the entry may be much older.
    """

    is_seen_known: bool = False
    seen_ms: int | None = None
    seen: str = ""
    is_held_known: bool = False
    held_ms: int | None = None
    holder: str = ""
    notes_waiting: bool = False

    def is_gone_for(self, ms: int) -> bool:
        """Return whether it is proven that no consumer was seen for *ms*."""
        return self.is_seen_known and (self.seen_ms is None or self.seen_ms >= ms)


def whose_use(found: Collection[Readers], *, unread: bool) -> str:
    """Return why a group must be treated as in use; empty where it is proven unused.

    A consumer of this package asks for entries every half second, one that handles an event as soon
    as it is done; a restarted process is back within minutes. Silence is a proof only where entries
    are *unread*, or where the server records consumers that wait for more.
    """
    for readers in found:
        if not readers.is_seen_known:
            return "this user may not list its consumers (XINFO CONSUMERS)"
        if not readers.is_gone_for(IN_USE_MS):
            return f"its consumer {readers.seen} was seen {duration(readers.seen_ms or 0)} ago"
    if found and not unread and not all(readers.notes_waiting for readers in found):
        return "it has read everything, and a consumer may be waiting for more"
    return ""


def read_readers(deployment: Deployment, names: Iterable[GroupName]) -> Mapping[GroupName, Readers]:
    """Return who reads each of the groups that are there; raise `RedisFault` without Redis."""
    groups = list(names)
    consumers = try_all(deployment, (["XINFO", "CONSUMERS", *group] for group in groups))
    return {
        group: Readers(**dict(_seen(seen)), **dict(_held(_waiting(deployment, group))))
        for group, seen in zip(groups, consumers, strict=True)
        if not _is_absent(seen)
    }


def _waiting(deployment: Deployment, group: GroupName) -> list[Mapping[str, Any]] | RedisFault:
    client: Any = serving(deployment.client, ["XLEN", group[0]])
    try:
        with as_fault("XPENDING"):
            return list(client.xpending_range(*group, "-", "+", _LOOKED_AT))
    except RedisFault as fault:
        return fault


def _is_absent(reply: Any) -> bool:
    """Return whether the stream has no such group."""
    is_fault = isinstance(reply, RedisFault)
    return has_no_key(reply) or (is_fault and "NOGROUP" in reply.fault.text)


def _seen(reply: Any) -> Iterator[tuple[str, Any]]:
    if _is_denied(reply):
        return
    yield "is_seen_known", True
    rows = [pairs(row) for row in reply]
    if latest := min(rows, key=lambda row: int(row[b"idle"]), default=None):
        yield "seen_ms", int(latest[b"idle"])
        yield "seen", text(latest[b"name"])
        yield "notes_waiting", b"inactive" in latest


def _held(reply: Any) -> Iterator[tuple[str, Any]]:
    if _is_denied(reply):
        return
    yield "is_held_known", True
    if longest := max(reply, key=lambda row: int(row["time_since_delivered"]), default=None):
        yield "held_ms", int(longest["time_since_delivered"])
        yield "holder", text(longest["consumer"])


def _is_denied(reply: Any) -> bool:
    """Return whether the user may not ask; raise any other fault."""
    if not isinstance(reply, RedisFault):
        return False
    if reply.fault.code != "NOPERM":
        raise reply
    return True
