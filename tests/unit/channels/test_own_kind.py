"""A channel of one's own: what its function gets, and what becomes of what it does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery, TransientDeliveryError
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.own_kind import OwnKind
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings.channel_kinds import OwnChannel
from tests.support import own_channels
from tests.support.own_channels import EVENT, contact, delivery
from tests.support.wait import until

FAR_S = 600.0
Send = Callable[[Delivery], Awaitable[None]]


@pytest.fixture
def kind_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Send], OwnKind]:
    """Make the kind of a function."""

    def made(send: Send) -> OwnKind:
        monkeypatch.setattr(own_channels, "send", send)
        return OwnKind("mine", OwnChannel(kind="tests.support.own_channels:send"))

    return made


async def sent(kind: OwnKind, within_s: float = FAR_S, address: str = "ann@example.com") -> Attempt:
    """Send to an address."""
    deadline = asyncio.get_running_loop().time() + within_s
    return await kind.send(delivery(), Target(contact(address)), deadline)


async def sent_until_late(kind: OwnKind, begun: asyncio.Event) -> Attempt:
    """Send, and let its time pass once the call has begun."""
    loop = asyncio.get_running_loop()
    sending = asyncio.create_task(sent(kind))
    await begun.wait()
    real = loop.time
    loop.time = lambda: real() + FAR_S  # type: ignore[method-assign]
    return await sending


def test_send__calls_the_function_with_the_contact(kind_of: Callable[[Send], OwnKind]) -> None:
    """The delivery names the address; what the function returns is of no importance."""
    given: list[Delivery] = []

    async def send(delivery: Delivery) -> None:
        given.append(delivery)

    assert asyncio.run(sent(kind_of(send))) == Attempt("delivered")
    (one,) = given
    assert (one.address, one.user_id, one.attempt) == ("ann@example.com", "u1", 2)
    assert (one.event_id, one.title, one.data) == ("n1/mine:u1", "Your turn", {"game": "g1"})


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(None, None), (1500, 1500), (1.5, 1), (-1, None), ("soon", None), (float("inf"), None)],
)
def test_send__is_transient_on_request(
    kind_of: Callable[[Send], OwnKind], asked: object, wait: int | None
) -> None:
    """Another attempt is made, at the time that the function asks for if that is one."""

    async def send(_delivery: Delivery) -> None:
        raise TransientDeliveryError("busy", retry_after_ms=asked)  # type: ignore[arg-type]

    made = asyncio.run(sent(kind_of(send)))
    assert made == Attempt("transient", "raised", "busy", retry_after_ms=wait)


class Untextual(Exception):
    """An exception that fails to return its text."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ValueError("no such mailbox"), "ValueError: no such mailbox"),
        (KeyError(), "KeyError"),
        (OSError(errno.ECONNREFUSED, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (TimeoutError(), "TimeoutError"),
        (Untextual(), "Untextual"),
        (SystemExit(3), "RuntimeError: the function called exit(3)"),
        (ValueError("550 <Ann@Example.com> unknown"), "ValueError: 550 <********> unknown"),
        (ValueError("a\nb\0c"), "ValueError: a b c"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 188),
    ],
)
def test_send__is_permanent(
    kind_of: Callable[[Send], OwnKind], error: BaseException, detail: str
) -> None:
    """Any other exception: its class and a bounded text that names no address."""

    async def send(_delivery: Delivery) -> None:
        raise error

    assert asyncio.run(sent(kind_of(send))) == Attempt("permanent", "raised", detail)


def test_send__raises_what_is_the_fault_of_this_machine(
    kind_of: Callable[[Send], OwnKind],
) -> None:
    """No more sockets: that says nothing about the route."""

    async def send(_delivery: Delivery) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with pytest.raises(OSError, match="too many"):
        asyncio.run(sent(kind_of(send)))


def test_send__ends_at_its_deadline(kind_of: Callable[[Send], OwnKind]) -> None:
    """The call is cancelled then, and its exception is the one of the cancellation."""
    ends: list[str] = []

    async def scenario() -> Attempt:
        begun = asyncio.Event()

        async def send(_delivery: Delivery) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise ConnectionError from None

        kind = kind_of(send)
        made = await sent_until_late(kind, begun)
        await kind.close()
        return made

    made = asyncio.run(scenario())
    assert made == Attempt("transient", "timeout", "it did not end in time")
    assert ends == ["cancelled"]


def test_send__does_not_wait_for_a_call_that_goes_on(
    kind_of: Callable[[Send], OwnKind],
) -> None:
    """A function that ignores the cancellation holds no place; the end waits for it a moment."""
    free = SimpleNamespace(done=False)

    async def scenario() -> Attempt:
        begun, gate = asyncio.Event(), asyncio.Event()

        async def send(_delivery: Delivery) -> None:
            begun.set()
            with suppress(asyncio.CancelledError):
                await gate.wait()
            await gate.wait()
            free.done = True

        kind = kind_of(send)
        made = await sent_until_late(kind, begun)
        assert not free.done
        gate.set()
        await kind.close()
        return made

    assert asyncio.run(scenario()).reason == "timeout"
    assert free.done


def test_send__is_not_begun_after_its_deadline(kind_of: Callable[[Send], OwnKind]) -> None:
    """Nothing is sent then."""
    calls: list[Delivery] = []

    async def send(delivery: Delivery) -> None:
        calls.append(delivery)

    assert asyncio.run(sent(kind_of(send), -1.0)).reason == "timeout"
    assert calls == []


def test_send__is_not_interrupted_by_the_end_of_its_caller(
    kind_of: Callable[[Send], OwnKind],
) -> None:
    """A call in flight is cancelled at its deadline only."""
    states: list[str] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def send(_delivery: Delivery) -> None:
            states.append("begun")
            await gate.wait()
            states.append("ended")

        kind = kind_of(send)
        caller = asyncio.create_task(sent(kind))
        await until(lambda: states == ["begun"], "the call has begun")
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        gate.set()
        await kind.close()

    asyncio.run(scenario())
    assert states == ["begun", "ended"]


def test_send__is_transient_if_the_function_is_cancelled(
    kind_of: Callable[[Send], OwnKind],
) -> None:
    """By what it awaits: nothing says that the address is wrong."""

    async def send(_delivery: Delivery) -> None:
        raise asyncio.CancelledError

    made = asyncio.run(sent(kind_of(send)))
    assert made == Attempt("transient", "timeout", "it was cancelled")


def test_targets__are_all_contacts(kind_of: Callable[[Send], OwnKind]) -> None:
    """Each by itself, without a host whose limits it would share."""
    kind = kind_of(own_channels.send)
    assert kind.has_contacts
    one = contact()
    assert list(kind.targets([one], EVENT)) == [Target(one, "")]


@pytest.mark.parametrize(
    ("attribute", "problem"),
    [
        ("tests.support.own_channels:missing", "cannot load"),
        ("tests.support.own_channels:NotAwaited", "not a coroutine function"),
        ("tests.support.own_channels:EVENT", "not callable"),
    ],
)
def test_init__refuses_what_cannot_be_called(attribute: str, problem: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=rf"channels\.mine\.kind: .*{problem}"):
        OwnKind("mine", OwnChannel(kind=attribute))
