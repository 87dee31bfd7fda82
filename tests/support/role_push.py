"""What a gateway process does for browsers that subscribe, as a step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from galaxy_notify.channels.push_subscriptions import PushSubscriptions
from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.errors import InvalidContact
from galaxy_notify.realtime.own_subscriptions import OwnSubscriptions
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.consumer_connection import ConsumerConnection
from galaxy_notify.redis_state.roles import Role
from tests.support.push import ENDPOINT, Browser, push_sections
from tests.support.role_gateway import KEYS, connected
from tests.support.roles import Stage, step


@step(Role.GATEWAY)
def keeps_subscriptions(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(**push_sections())
    stored = PushSubscriptions(deployment.settings)
    disabled = NewContact("push", f"{ENDPOINT}/0", "0", Browser().keys)
    book, users = open_book(deployment.settings), deployment.key_space
    run_flow_sync(deployment.client, book.put(users, "u1", [disabled]))
    deployment.client.set(KEYS.contacts("u2"), "x")

    async def call(connection: ConsumerConnection) -> None:
        own = OwnSubscriptions(connection.client, connection.key_space)
        wanted = stored.read({"endpoint": f"{ENDPOINT}/1", "keys": Browser().keys}, "push")
        name = await own.put(stored, "u1", wanted)
        assert await own.put(stored, "u1", wanted) == name
        assert await own.remove(stored, "u1", name)
        with suppress(InvalidContact):
            await own.put(stored, "u2", wanted)

    yield
    asyncio.run(connected(stage, call))
