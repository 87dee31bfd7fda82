"""Where users are connected, as presence says it, for applications that ask."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.model.refusals import WANTED, shown
from galaxy_notify.realtime.attendance import slices
from galaxy_notify.realtime.resident import Joined
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.replies import moment, text
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state.keys import keys_with

_USER: Final = re.compile(RECIPIENT)
#: Users of one round trip; keys that a page looks at; instances that are read of a user.
_USERS: Final = 250
_COUNT: Final = 512
_INSTANCES: Final = 100


def checked_user(user: object, at: str = "user") -> str:
    """Return the name of a user; raise `InvalidQuery` if it is invalid."""
    if isinstance(user, str) and _USER.fullmatch(user):
        return user
    raise InvalidQuery(at, f"{WANTED['recipients']}, not {shown(user)}")


async def instances_of(joined: Joined, users: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the instances that hold connections of each user; raise `RedisFault`."""
    found: dict[str, Sequence[str]] = {}
    for some in slices(users, _USERS):
        keys = [joined.key_space.keys_of_user(user).presence(user) for user in some]
        calls: list[ScriptCall | Command] = [Command(["TIME"]), *map(_instances, keys)]
        now, *rows = await run_all(joined.client, calls)
        if isinstance(now, RedisFault):
            raise now
        now_ms = int(now[0]) * 1000 + int(now[1]) // 1000
        found |= {user: _living(row, now_ms) for user, row in zip(some, rows, strict=True)}
    return found


class OnlinePage(NamedTuple):
    """Users who are online, and where the next page begins; empty behind the last one."""

    users: Sequence[str]
    following: str


async def online_page(joined: Joined, begin: str) -> OnlinePage:
    """Return a page of the users who are online; the first begins at ``0 0``.

    One who connects or leaves between two pages may be missing; one may come twice. Raises
    `RedisFault`.
    """
    shard, cursor = begin.split()
    keys = joined.key_space.keys(int(shard))
    # SCAN names no key: in a cluster it is to ask the server of the shard.
    client, prefix = at_shard(joined.client, keys.tag), keys.presence("")
    scan = Command(["SCAN", cursor, "MATCH", keys_with(prefix), "COUNT", _COUNT])
    (reply,) = await run_all(client, [scan])
    if isinstance(reply, RedisFault):
        raise reply
    cursor, names = text(reply[0]), reply[1]
    users = list(dict.fromkeys(text(name)[len(prefix) :] for name in names))
    found = await instances_of(joined, users)
    if cursor == "0":
        shard = str(keys.shard + 1)
    is_last = int(shard) == joined.key_space.shared.shards
    online = [user for user, instances in found.items() if instances]
    return OnlinePage(online, "" if is_last else f"{shard} {cursor}")


def _instances(key: str) -> Command:
    return Command(["ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, _INSTANCES])


def _living(rows: Any, now_ms: int) -> Sequence[str]:
    if isinstance(rows, RedisFault):
        if "WRONGTYPE" in rows.fault.text:
            return ()  # the next renewal replaces a key of another type
        raise rows
    return tuple(text(name) for name, score in rows if moment(score) > now_ms)
