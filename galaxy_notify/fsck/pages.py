"""Everything that a shard holds, page by page: no call looks at more than about a thousand things.

Who is moved while a page is read may come twice or not at all; who stays comes at least once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.model.route import readable_route
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Command, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys, keys_with
from galaxy_notify.redis_state.settlement import LONGEST_RELEASE_MS

#: Members that one call may name.
PAGE: Final = 256
#: Until then the score of a released route says more than its state.
HELD_BACK_MS: Final = LONGEST_RELEASE_MS
#: The indexes of a channel, in the order in which each member is looked at in the first alone.
INDEXES: Final = ("schedule", "abandoned", "dead")
# A page may come out larger than what was asked for, so less is asked for.
_COUNT: Final = 128
#: What PTTL answers where there is no key.
_ABSENT: Final = -2


@dataclass
class Cursor:
    """How far a walk has come."""

    at: bytes | str = "0"
    left: Sequence[bytes] = ()
    begun: bool = False

    @property
    def is_done(self) -> bool:
        """Return whether there is no further page."""
        return self.begun and self.at in (b"0", b"") and not self.left

    def move(self, at: bytes, left: Sequence[bytes] = ()) -> None:
        """Store where the next page begins."""
        self.at, self.left, self.begun = at, left, True


@dataclass(frozen=True, slots=True)
class IndexPage:
    """A page of an index: how many members it has, and those to look at more closely."""

    members: int
    odd: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class CensusPage:
    """A page of notifications: their ids, how many routes they have, and the ids to look at."""

    ids: Sequence[bytes]
    routes: int
    odd: Sequence[bytes]
    channels: Sequence[bytes]


def read_index_page(keys: Keys, index: str, channel: str, cursor: Cursor) -> Flow[IndexPage]:
    """Read the next page of an index."""
    (reply,) = yield [fsck_scan_index(keys, index, channel, cursor.at)]
    with as_fault("fsck_scan_index"):
        at, found = _index_page(unwrap(reply))
    cursor.move(at)
    return found


@reader
def _index_page(reply: Sequence[Any]) -> tuple[bytes, IndexPage]:
    """Read ``[cursor, members, irregular, [state, members]...]``."""
    at, members, odd, bodies = reply
    return at, IndexPage(int(members), [*odd, *_unreadable(bodies)])


def fsck_scan_index(keys: Keys, index: str, channel: str, at: bytes | str) -> ScriptCall:
    """Name the members of a page of an index that may stand wrongly."""
    args = [keys.tag, "", index, channel, at, _COUNT, HELD_BACK_MS]
    return ScriptCall(script("fsck_scan_index"), [keys.never], args)


def read_notification_page(keys: Keys, cursor: Cursor) -> Flow[CensusPage]:
    """Read the next page of notifications.

    This is the one walk over the key space: only it finds what no index names.
    """
    at = "" if cursor.begun and cursor.at == b"0" else cursor.at
    (reply,) = yield [fsck_scan_notifications(keys, at, cursor.left)]
    with as_fault("fsck_scan_notifications"):
        at, left, found = _notification_page(unwrap(reply))
    cursor.move(at or b"0", left)
    return found


@reader
def _notification_page(reply: Sequence[Any]) -> tuple[bytes, Sequence[bytes], CensusPage]:
    """Read the cursor, ids, number of routes, irregular ids, channels, and ids left of the page."""
    at, ids, routes, odd, channels, left = reply
    return at, left, CensusPage(ids, int(routes), odd, channels)


def fsck_scan_notifications(keys: Keys, at: bytes | str, left: Sequence[bytes]) -> ScriptCall:
    """Name the notifications of a page, or those *left* of one, that may count wrongly."""
    pattern = keys_with(keys.notification(""))
    return ScriptCall(
        script("fsck_scan_notifications"), [keys.never], [keys.tag, at, pattern, _COUNT, *left]
    )


def keys_of_wrong_type(keys: Keys, channels: Sequence[str]) -> Flow[list[str]]:
    """Return the keys that hold something else than they should."""
    probes = [
        Command(["HLEN", keys.totals]),
        Command(["HLEN", keys.meta]),
        Command(["ZCARD", keys.workers]),
        Command(["SISMEMBER", keys.paused, ""]),
        Command(["XLEN", keys.orphans]),
        Command(["XLEN", keys.deliveries]),
        Command(["XLEN", keys.parked]),
        Command(["XLEN", keys.stream]),
        Command(["XLEN", keys.feed_backlog]),
        Command(["ZCARD", keys.feed_writers]),
    ]
    for channel in channels:
        probes += [
            Command(["ZCARD", of(channel)]) for of in (keys.schedule, keys.leases, keys.dead)
        ]
        probes.append(Command(["HLEN", keys.abandoned(channel)]))
        probes.append(Command(["LLEN", keys.wake(channel)]))
    replies = yield probes
    foreign = zip(probes, map(is_foreign, replies), strict=True)
    return [probe.command[1] for probe, is_one in foreign if is_one]


def read_guard(keys: Keys) -> Flow[bool]:
    """Return whether the key exists that must never exist."""
    (reply,) = yield [Command(["PTTL", keys.never])]
    return int(unwrap(reply)) != _ABSENT


def is_foreign(reply: Any) -> bool:
    """Return whether a key turned out to be of another type; raise any other fault."""
    if not isinstance(reply, RedisFault):
        return False
    if reply.fault.code != "WRONGTYPE":
        raise reply
    return True


def _unreadable(bodies: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """Yield the members whose state has a head that can be read, and no such body."""
    for state, members in bodies:
        if readable_route(state) is None:
            yield from members
