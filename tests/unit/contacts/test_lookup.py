"""A lookup of one's own: its contacts are checked, and its failures are waited out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from galaxy_notify.contacts import lookup
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.lookup import Lookup
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.settings import settings_from
from tests.support.contacts import EMAIL, sections
from tests.support.wait import until

Found = Callable[[str, str], Awaitable[Any]]
found: Any = None


async def find(user: str, channel: str) -> Any:
    """Return, raise or wait for what a test has put there."""
    assert (user, channel) == ("u1", "mine")
    if isinstance(found, BaseException):
        raise found
    return await found if isinstance(found, asyncio.Future) else found


def looked_up(value: Any = None, name: str = "find") -> tuple[Contact, ...]:
    """Return what a lookup makes of a value."""
    global found
    found = value
    settings = settings_from(sections(lookup=f"{__name__}:{name}"))
    return asyncio.run(Lookup(settings).of("u1", "mine"))


def test_lookup__makes_contacts() -> None:
    """Each has the channel that was asked for; in any order it has the same id."""
    named = {"id": "b", "address": "b@c", "data": {"a": 1}}
    first, second = looked_up([{"address": EMAIL}, named])
    assert (first.channel, first.address) == ("mine", EMAIL)
    assert looked_up([named, {"address": EMAIL}]) == (second, first)
    assert (second.id, second.data, second.is_disabled) == ("b", {"a": 1}, False)
    assert looked_up([]) == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "returned its list: must be a list of contacts, not null"),
        ([{"address": 1}], r"returned \[0\].address: must be text"),
        ([{"address": EMAIL, "channel": "hooks"}], r"returned \[0\].channel"),
        ([{"address": str(n)} for n in range(21)], "more than 20"),
        (ValueError(EMAIL), "^contacts.lookup failed: ValueError$"),
        (asyncio.CancelledError(EMAIL), "^contacts.lookup failed: CancelledError$"),
        (SystemExit(EMAIL), "^contacts.lookup failed: RuntimeError$"),
    ],
)
def test_lookup__failures_are_outages(value: Any, said: str) -> None:
    """What it returns in vain, or raises, costs no attempt; no address is in the error."""
    with pytest.raises(Unavailable, match=said) as error:
        looked_up(value)
    assert EMAIL not in str(error.value)


def test_lookup__is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not return is given up."""
    monkeypatch.setattr(lookup, "LOOKUP_S", 0.01)
    settings = settings_from(sections(lookup=f"{__name__}:find"))

    async def wait() -> None:
        global found
        found = asyncio.get_running_loop().create_future()
        await Lookup(settings).of("u1", "mine")

    with pytest.raises(Unavailable, match=r"contacts\.lookup took over"):
        asyncio.run(wait())


def test_lookup__that_does_not_end_when_it_is_cancelled_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for it, and it may go on."""
    monkeypatch.setattr(lookup, "LOOKUP_S", 0.01)
    settings = settings_from(sections(lookup=f"{__name__}:find"))

    async def scenario() -> None:
        global found
        release = asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                with suppress(asyncio.CancelledError):
                    await release.wait()

        found = asyncio.ensure_future(stubborn())
        lookups = Lookup(settings)
        with pytest.raises(Unavailable, match="took over"):
            await lookups.of("u1", "mine")
        release.set()
        await until(lambda: not lookups._calls, "it has ended")

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["nowhere", "looked_up", "sections"])
def test_lookup__that_cannot_be_called_is_refused(name: str) -> None:
    """It is an asynchronous function of a user and a channel."""
    with pytest.raises(ConfigurationError, match=r"contacts\.lookup: "):
        looked_up(name=name)
