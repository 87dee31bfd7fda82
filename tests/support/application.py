"""An application's streams and presence, in the loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from galaxy_notify.realtime import Presence, Streams, UserStream
from tests.support.events import write_deployment
from tests.support.gateways import KEY_SPACE, Publisher
from tests.support.servers import Server
from tests.support.wait import wait_until


class Application:
    """What a test of the library needs of its server, which is its own while it runs."""

    def __init__(self, server: Server, client: redis.Redis) -> None:
        self.server = server
        self.client = client
        self.publish = Publisher(client)
        write_deployment(client, shards=2)

    def streams(self, **settings: Any) -> Streams:
        """Return streams of this deployment."""
        return Streams.from_url(self.server.url, **settings)

    def presence(self, **settings: Any) -> Presence:
        """Return presence of this deployment."""
        return Presence.from_url(self.server.url, **settings)

    def instances(self, user: str) -> list[str]:
        """Return the names in the presence of a user."""
        rows: Any = self.client.zrange(KEY_SPACE.keys_of_user(user).presence(user), 0, -1)
        return [name.decode() for name in rows]

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run a scenario; it must leave no task, no connection and no key of an instance."""

        # Other tests of this worker may have connections of their own to the server.
        others = {one["id"] for one in self._connections()}

        async def ran() -> None:
            await scenario()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(ran())
        wait_until(
            lambda: {one["id"] for one in self._connections()} <= others, "no connection is left"
        )
        for pattern in ("*:presence:*", "*:inbox", "*:gateway:*"):
            left = self.client.keys(pattern)
            assert not left, left

    def _connections(self) -> list[Any]:
        found: Any = self.client.client_list()
        return [one for one in found if one["name"].startswith("galaxy-notify")]


@contextmanager
def application_on(server: Server) -> Iterator[Application]:
    """Give an application on a server."""
    with server.client() as client:
        yield Application(server, client)


async def numbers(stream: UserStream, count: int) -> list[int]:
    """Return the numbers of the next notifications, and pass over other events."""
    found: list[int] = []
    while len(found) < count:
        event = await anext(stream)
        if event.kind == "notification":
            found.append(event.payload["data"]["number"])
    return found
