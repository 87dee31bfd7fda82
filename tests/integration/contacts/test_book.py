"""Stored contacts: replaced, added, disabled and encrypted again, whoever else changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from galaxy_notify.contacts.book import ContactBook, remove_flow
from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.contacts import Contacts
from galaxy_notify.contacts.rekeying import rekey_all
from galaxy_notify.errors import ConfigurationError, InvalidContact, Misconfigured
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import Flow, run_flow_sync
from galaxy_notify.settings import settings_from
from tests.support.contacts import EMAIL, HOOK, key, sections
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server

T = TypeVar("T")
NEW = NewContact("mine", EMAIL)


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment of two shards that stores contacts."""
    made = sections()
    made["worker"]["shards"] = 2
    return deploy(server, **made)


def run(deployment: DeploymentFixture, flow: Flow[T]) -> T:
    """Run a flow to its end."""
    return run_flow_sync(deployment.client, flow)


def book(*keys: str, now_ms: int = 5) -> ContactBook:
    """Return a book with these keys."""
    return ContactBook(settings_from(sections(*keys)), lambda: now_ms)


def all_of(deployment: DeploymentFixture, user: str = "u1") -> list[Contact]:
    """Return the contacts of a user, all of which can be read."""
    found = run(deployment, book().all_of(deployment.key_space, user))
    assert not found.unreadable
    return list(found.contacts)


def replace(deployment: DeploymentFixture, *wanted: NewContact, channels: Any = ()) -> bool:
    """Replace the contacts of u1."""
    return run(deployment, book().replace(deployment.key_space, "u1", wanted, channels))


def test_replace__keeps_what_is_there(deployment: DeploymentFixture) -> None:
    """An address keeps id and time; the same again is no change; the rest of its channel goes."""
    assert replace(deployment, NEW, NewContact("mine", "b@c"), NewContact("hooks", HOOK))
    first = next(one for one in all_of(deployment) if one.address == EMAIL)
    assert (first.kind, first.created_at_ms) == ("tests.support.contacts:send", 5)
    later = book(now_ms=9)
    same = [NEW, NewContact("mine", "b@c")]
    assert not run(deployment, later.replace(deployment.key_space, "u1", same))
    assert replace(deployment, NewContact("mine", EMAIL, data={"a": 1}))
    hook, mine = all_of(deployment)
    assert (hook.channel, hook.address) == ("hooks", HOOK)
    assert (mine.id, mine.created_at_ms, mine.data) == (first.id, 5, {"a": 1})


def test_replace__with_nothing_empties_named_channels(deployment: DeploymentFixture) -> None:
    """Without a channel nothing is asked for."""
    replace(deployment, NEW, NewContact("hooks", HOOK))
    assert not replace(deployment)
    assert replace(deployment, channels=["mine"])
    assert [one.channel for one in all_of(deployment)] == ["hooks"]


def test_replace__with_ids_of_ones_own(deployment: DeploymentFixture) -> None:
    """An id that is given is kept, also for another address; the time is that of the address."""
    replace(deployment, NewContact("mine", EMAIL, "e1"))
    assert replace(deployment, NewContact("mine", "b@c", "e1"))
    (one,) = all_of(deployment)
    assert (one.id, one.address) == ("e1", "b@c")
    assert not replace(deployment, NewContact("mine", "b@c"))


def test_put__leaves_the_others(deployment: DeploymentFixture) -> None:
    """One is stored beside the others, once."""
    replace(deployment, NEW)
    for changed in (True, False):
        flow = book().put(deployment.key_space, "u1", [NewContact("mine", "b@c")])
        assert run(deployment, flow) is changed
    assert sorted(one.address for one in all_of(deployment)) == [EMAIL, "b@c"]


def test_add__is_bounded(deployment: DeploymentFixture) -> None:
    """The twenty-first is refused, and so is an id that is used."""
    key_space = deployment.key_space
    for number in range(20):
        run(deployment, book().add(key_space, "u1", NewContact("mine", f"{number}", f"n{number}")))
    with pytest.raises(InvalidContact, match="at most 20") as error:
        run(deployment, book().add(key_space, "u1", NEW))
    assert error.value.code == "too_large"
    with pytest.raises(InvalidContact, match="n1 is used already"):
        run(deployment, book().add(key_space, "u1", NewContact("mine", EMAIL, "n1")))
    assert run(deployment, book().add(key_space, "u2", NEW)).address == EMAIL


def test_disable__is_of_the_address_that_was_read(deployment: DeploymentFixture) -> None:
    """The first reason stays, also when the address is set again; another address is left alone."""
    replace(deployment, NewContact("mine", EMAIL, "e1"))
    (contact,) = all_of(deployment)
    key_space = deployment.key_space
    for reason in ("gone", "again"):
        found = run(deployment, book(now_ms=8).disable(key_space, "u1", contact, reason))
        assert found is not None
        assert (found.disabled_at_ms, found.disabled_reason) == (8, "gone")
    assert not replace(deployment, NewContact("mine", EMAIL, "e1"))
    assert all_of(deployment)[0].is_disabled
    replace(deployment, NewContact("mine", "b@c", "e1"))
    found = run(deployment, book().disable(key_space, "u1", contact, "gone"))
    assert found == all_of(deployment)[0]
    assert not found.is_disabled
    replace(deployment, channels=["mine"])
    assert run(deployment, book().disable(key_space, "u1", contact, "gone")) is None


def _meanwhile(flow: Flow[T], at: int, change: Callable[[], object]) -> Flow[T]:
    """Run a flow, with a change of somebody else in front of round trip number *at*."""
    request, number = next(flow), 0
    try:
        while True:
            if number == at:
                change()
            number += 1
            request = flow.send((yield request))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def test_change__between_read_and_write_is_not_lost(deployment: DeploymentFixture) -> None:
    """Who disables a contact while another gives it data loses nothing of either."""
    replace(deployment, NEW)
    (contact,) = all_of(deployment)
    key_space = deployment.key_space
    flow = book().disable(key_space, "u1", contact, "gone")
    wanted = NewContact("mine", EMAIL, data={"a": 1})
    run(deployment, _meanwhile(flow, 1, lambda: replace(deployment, wanted)))
    (after,) = all_of(deployment)
    assert (after.disabled_reason, after.data) == ("gone", {"a": 1})


def test_remove__by_id_channel_or_all(deployment: DeploymentFixture) -> None:
    """It says how many there were, and needs no key."""
    key_space = deployment.key_space
    replace(deployment, NewContact("mine", EMAIL, "a"), NewContact("mine", "b@c", "b"),
            NewContact("hooks", HOOK, "a"))  # fmt: skip
    assert run(deployment, remove_flow(key_space, "u1", ["a", "x"], "mine")) == 1
    assert run(deployment, remove_flow(key_space, "u1", [], "mine")) == 1
    assert run(deployment, remove_flow(key_space, "u1")) == 1
    assert run(deployment, remove_flow(key_space, "u1")) == 0
    assert not deployment.client.exists(key_space.keys_of_user("u1").contacts("u1"))


def test_rekey__encrypts_with_the_first_key(deployment: DeploymentFixture) -> None:
    """All users of all shards; again finds nothing, and what no key opens is counted."""
    for number in range(20):
        run(deployment, book().put(deployment.key_space, f"u{number}", [NEW]))
    lost = book(key("lost", 3))
    run(deployment, lost.put(deployment.key_space, "v", [NEW]))
    both = book(key("k2", 2), key())
    seen: list[int] = []
    assert rekey_all(deployment.connected, both, seen.append) == (21, 20, 1)
    assert sum(seen) == 21
    assert rekey_all(deployment.connected, both, seen.append) == (21, 0, 1)
    new = book(key("k2", 2))
    found = run(deployment, new.all_of(deployment.key_space, "u7"))
    assert [one.address for one in found.contacts] == [EMAIL]
    (unreadable,) = run(deployment, new.all_of(deployment.key_space, "v")).unreadable
    assert unreadable.reason == "its key 'lost' is not in contacts.keys"


def test_contacts__of_a_process(deployment: DeploymentFixture) -> None:
    """What is sent to is of one channel; what cannot be decrypted holds that channel only."""
    replace(deployment, NewContact("mine", EMAIL, "e1"), NewContact("hooks", HOOK, "h1"))

    async def work() -> None:
        client = open_async(deployment.settings, connections=2, name="x")
        contacts = Contacts(client, deployment.key_space, deployment.settings)
        try:
            (one,) = await contacts.of("u1", "mine")
            assert one.address == EMAIL
            assert await contacts.of("u2", "mine") == ()
            assert (await contacts.disable("u1", one, "gone") or one).is_disabled
            name = deployment.key_space.keys_of_user("u1").contacts("u1")
            deployment.client.hset(name, "hooks/h1", "1broken")
            with pytest.raises(Misconfigured, match="a contact of hooks cannot be decrypted"):
                await contacts.of("u1", "hooks")
            assert [one.id for one in await contacts.of("u1", "mine")] == ["e1"]
            assert await contacts.replace("u1", [NewContact("hooks", HOOK)])
            assert await contacts.remove("u1", channel="hooks") == 1
        finally:
            await client.aclose()

    asyncio.run(work())


def test_book__needs_keys_of_its_own() -> None:
    """Without keys, or with a lookup, nothing is stored."""
    with pytest.raises(ConfigurationError, match=r"contacts.keys: must be set"):
        ContactBook(settings_from({}))
    with pytest.raises(ConfigurationError, match=r"contacts.lookup: contacts are looked up there"):
        ContactBook(settings_from(sections(lookup="a:b")))
