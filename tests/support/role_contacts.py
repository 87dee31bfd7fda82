"""What operators and daemons do with contacts, as steps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.contacts import Contacts
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.roles import Role
from tests.support.contacts import EMAIL, key, sections, variables
from tests.support.roles import Stage, step

_LINE = json.dumps({"user": "u1", "channel": "mine", "address": "b@c"})


@step(Role.OPERATOR)
def changes_contacts(stage: Stage) -> Iterator[None]:
    stage.deploy(**sections())
    yield
    settings = variables(key("k2", 2), key())
    one = json.dumps([{"channel": "mine", "address": "ann@example.com", "id": "a"}])
    stage.cli("contacts", "set", "u1", "-", stdin=one, settings=settings)
    stage.cli("contacts", "import", "-", stdin=_LINE, settings=settings)
    stage.cli("contacts", "rekey", settings=settings)
    stage.cli("contacts", "rm", "u1", "a", settings=settings)


@step(Role.OPERATOR, Role.READER)
def looks_at_contacts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(**sections())
    book = open_book(deployment.settings)
    flow = book.replace(deployment.key_space, "u1", [NewContact("mine", "ann@example.com")])
    run_flow_sync(deployment.client, flow)
    yield
    stage.cli("contacts", "ls", "u1", settings=variables())
    stage.cli("channels", "ls", settings=variables())
    stage.cli("channels", "show", "mine", settings=variables())
    stage.cli("channels", "test", "mine", "u1", settings=variables())


@step(Role.DAEMON)
def uses_contacts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy(**sections())
    book = open_book(deployment.settings)
    flow = book.replace(deployment.key_space, "u1", [NewContact("mine", EMAIL)])
    run_flow_sync(deployment.client, flow)

    async def use() -> None:
        settings = deployment.settings_at(stage.url)
        client = open_async(settings, connections=1, name="x")
        try:
            contacts = Contacts(client, deployment.key_space, settings)
            (one,) = await contacts.of("u1", "mine")
            await contacts.disable("u1", one, "gone")
            await contacts.remove("u1")
        finally:
            await client.aclose()

    yield
    asyncio.run(use())
