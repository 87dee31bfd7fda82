"""A connection to a deployment: the client, what was agreed, and where everything lies.

An operator reads many commands in one round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from galaxy_notify.redis_client.access import open_sync
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.flows import run_flow_sync, unwrap
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.joining import (
    check_disk_sync,
    join_deployment,
    read_deployment,
)
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings


@dataclass(frozen=True, eq=False)
class Deployment:
    """A synchronous connection, for the CLI and for operators' tools.

    What is written is done once it is as safe as *confirm* wants.
    """

    client: redis.Redis
    key_space: KeySpace
    confirm: Confirmation | None = None

    @property
    def shared(self) -> SharedSettings:
        """Return what the deployment agreed on."""
        return self.key_space.shared

    @property
    def all_keys(self) -> list[Keys]:
        """Return the keys of every shard."""
        return self.key_space.all_keys

    def keys(self, shard: int) -> Keys:
        """Return the keys of one shard."""
        return self.key_space.keys(shard)

    def keys_for(self, notification_id: str) -> Keys:
        """Return the keys of the shard that holds this notification or part."""
        return self.key_space.keys_for(notification_id)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def connect(settings: Settings, *, join: bool = False) -> Deployment:
    """Connect to the deployment that *settings* name and compare what must agree.

    Only *join* writes: it creates a missing deployment and, if ``redis.durability`` is ``aof``,
    tries whether the disk confirms a write in time. Raises `RedisFault` and `ConfigurationError`.
    """
    client = open_sync(settings)
    mine, prefix = SharedSettings.from_settings(settings), settings.redis.prefix
    confirm = Confirmation.of(settings.redis.durability)
    if join:
        found = run_flow_sync(client, join_deployment(prefix, mine))
        check_disk_sync(client, Keys(prefix, 0), confirm)
        return Deployment(client, KeySpace(prefix, found), confirm)
    known = run_flow_sync(client, read_deployment(prefix))
    if known is not None:
        mine.check_against(known)
    return Deployment(client, KeySpace(prefix, known or mine), confirm)


Words = Sequence[Any]


def read_all(deployment: Deployment, commands: Iterable[Words]) -> list[Any]:
    """Return a reply for each command; raise `RedisFault` where one failed."""
    return [unwrap(reply) for reply in try_all(deployment, commands)]


def try_all(deployment: Deployment, commands: Iterable[Words]) -> list[Any]:
    """Return a reply or a fault for each command; raise `RedisFault` where Redis is away."""
    reads = [Command(list(command)) for command in commands]
    return run_all_sync(deployment.client, reads) if reads else []


def server_now(deployment: Deployment) -> int:
    """Return the server's clock in epoch ms."""
    (time,) = read_all(deployment, [["TIME"]])
    return int(time[0]) * 1000 + int(time[1]) // 1000
