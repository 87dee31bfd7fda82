"""Everything that a shard holds, page by page: no call looks at more than a few hundred things.

Who is moved while a page is read may come twice or not at all; who stays comes at least once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import Command, read_all, try_all
from galaxy_notify.redis_state.runner import RedisFault

#: Members that one call may name.
PAGE: Final = 256
# A page may come out larger than what was asked for, so less is asked for.
_COUNT: Final = 128
# Records are not read, but a notification may have a thousand routes.
_NOTIFICATIONS: Final = 64
_SPECIAL: Final = "\\*?[]"


def sorted_set(place: Place, key: str) -> Iterator[list[bytes]]:
    """Yield the members of a sorted set."""
    for page in _walk(place, ["ZSCAN", key]):
        yield from _cut([member for member, _ in page], PAGE)


def hash_fields(place: Place, key: str) -> Iterator[list[bytes]]:
    """Yield the fields of a hash."""
    for page in _walk(place, ["HSCAN", key]):
        yield from _cut(list(page) if isinstance(page, dict) else page[::2], PAGE)


def notification_names(place: Place, keys: Keys) -> Iterator[list[bytes]]:
    """Yield the ids of all notifications.

    This is the one walk over the key space: what no index names can be found no other way.
    """
    prefix = keys.notification("")
    pattern = "".join(f"\\{char}" if char in _SPECIAL else char for char in prefix) + "*"
    for page in _walk(place, ["SCAN"], "MATCH", pattern):
        names = [name.removeprefix(prefix.encode()) for name in page]
        yield from _cut(names, _NOTIFICATIONS)


def keys_of_wrong_type(place: Place, keys: Keys, channels: Sequence[str]) -> list[str]:
    """Return the keys that hold something else than they should."""
    probes: list[Command] = [
        ["HLEN", keys.totals],
        ["HLEN", keys.meta],
        ["ZCARD", keys.workers],
        ["SISMEMBER", keys.paused, ""],
        ["XLEN", keys.orphans],
        ["XLEN", keys.parked],
        ["XLEN", keys.stream],
    ]
    for channel in channels:
        probes += [["ZCARD", keys.schedule(channel)], ["ZCARD", keys.leases(channel)]]
        probes += [["ZCARD", keys.dead(channel)], ["HLEN", keys.abandoned(channel)]]
        probes += [["LLEN", keys.wake(channel)]]
    replies = try_all(place, probes)
    return [probe[1] for probe, reply in zip(probes, replies, strict=True) if is_foreign(reply)]


def is_foreign(reply: Any) -> bool:
    """Tell whether a key turned out to be of another type; raise any other fault."""
    if not isinstance(reply, RedisFault):
        return False
    if reply.fault.code != "WRONGTYPE":
        raise reply
    return True


def _walk(place: Place, command: list[Any], *options: str) -> Iterator[Any]:
    cursor = 0
    while True:
        (reply,) = read_all(place, [[*command, cursor, *options, "COUNT", _COUNT]])
        cursor, page = int(reply[0]), reply[1]
        yield page
        if cursor == 0:
            return


def _cut(names: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
