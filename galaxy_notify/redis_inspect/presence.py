"""Who is connected: the users with open streams, and the instances that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from galaxy_notify.redis_client.flows import unwrap, unwrap_or
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.replies import moment, text
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state.deployment import Deployment, server_now, try_all
from galaxy_notify.redis_state.keys import Keys, keys_with

#: Keys that a page looks at; instances that are read of a user.
_COUNT: Final = 512
_INSTANCES: Final = 100


@dataclass(frozen=True, slots=True)
class Attendance:
    """An instance that holds a stream of a user, until this expires or is renewed."""

    id: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Presence:
    """Where a user is connected; without any instance the user is offline."""

    user: str
    instances: tuple[Attendance, ...]

    @property
    def is_online(self) -> bool:
        """Return whether some instance holds a stream of the user."""
        return bool(self.instances)

    def as_json(self) -> dict[str, object]:
        """Return what ``presence show --json`` prints."""
        return {
            "user": self.user,
            "online": self.is_online,
            "instances": [asdict(instance) for instance in self.instances],
        }


def read_presence(deployment: Deployment, user: str) -> Presence:
    """Return where a user is connected now; raise `RedisFault`."""
    now_ms = server_now(deployment)
    keys = deployment.key_space.keys_of_user(user)
    (rows,) = try_all(deployment, [_instances(keys.presence(user), now_ms)])
    return _presence(user, rows)


def online_users(deployment: Deployment) -> Iterator[Presence]:
    """Yield the users who are connected, in no order, page by page; raise `RedisFault`.

    One who connects or leaves meanwhile may be missing; one may come twice.
    """
    for keys in deployment.all_keys:
        cursor: Any = "0"
        while True:
            cursor, names = _page(deployment, keys, cursor)
            yield from _online(deployment, names)
            if not int(cursor):
                break


def _page(deployment: Deployment, keys: Keys, cursor: Any) -> tuple[Any, list[str]]:
    """Return the next cursor, and the users of a page of keys."""
    # SCAN names no key: in a cluster it is to ask the server of the shard.
    client, prefix = at_shard(deployment.client, keys.tag), keys.presence("")
    calls: list[ScriptCall | Command] = [
        Command(["SCAN", cursor, "MATCH", keys_with(prefix), "COUNT", _COUNT])
    ]
    cursor, found = unwrap(run_all_sync(client, calls)[0])
    return cursor, [text(key)[len(prefix) :] for key in found]


def _online(deployment: Deployment, users: Sequence[str]) -> Iterator[Presence]:
    if not users:
        return
    now_ms, key_space = server_now(deployment), deployment.key_space
    wanted = (
        _instances(key_space.keys_of_user(user).presence(user), now_ms)
        for user in dict.fromkeys(users)
    )
    for user, rows in zip(dict.fromkeys(users), try_all(deployment, wanted), strict=True):
        if (found := _presence(user, rows)).is_online:
            yield found


def _instances(key: str, now_ms: int) -> list[Any]:
    return ["ZRANGEBYSCORE", key, f"({now_ms}", "+inf", "WITHSCORES", "LIMIT", 0, _INSTANCES]


def _presence(user: str, rows: Any) -> Presence:
    # The next renewal replaces a key of another type.
    found = [Attendance(text(name), moment(score)) for name, score in unwrap_or(rows, [])]
    return Presence(user, tuple(sorted(found, key=lambda one: one.id)))
