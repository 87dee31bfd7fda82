"""The kind ``apprise``, sending to services on this machine."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from galaxy_notify.channels.apprise_kind import TYPES, AppriseKind
from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.hosts import Busy
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.model.preference import SEVERITIES
from galaxy_notify.settings.channel_kinds import AppriseChannel
from tests.support.own_channels import contact
from tests.support.receiver import Receiver, answer_of
from tests.support.services import SECRET, hanging, service_url, taken
from tests.support.wait import HANG_S, until

EVENT = LiveEvent("n1/ops:u1", "queue.long", "warning", "Long", "9 orders wait", {"n": 9}, 1)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Each service is gone at the end of a test; so are the threads that notify it."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("apprise-"):
            thread.join(HANG_S)
            assert not thread.is_alive()


def kind(*urls: str, **fields: Any) -> AppriseKind:
    """Return a kind for these URLs."""
    channel = AppriseChannel(urls=tuple(map(SecretStr, urls)), **fields)
    return AppriseKind("ops", channel)


async def sent(
    to: AppriseKind, event: LiveEvent = EVENT, *, within_s: float = HANG_S
) -> list[Attempt | Busy]:
    """Send an event to each URL at the same time."""
    deadline = asyncio.get_running_loop().time() + within_s
    delivery = Delivery("ops", "u1", event)
    targets = to.targets((), event)
    return await asyncio.gather(*(to.send(delivery, target, deadline) for target in targets))


def test_send__notifies_the_service() -> None:
    """Title, text and type are those of the notification, and the credentials those of the URL."""
    receiver = Receiver(answer_of(200))

    async def scenario() -> None:
        async with receiver.listening() as port:
            assert await sent(kind(service_url(port))) == [Attempt("delivered")]

    asyncio.run(scenario())
    assert taken(receiver) == [{"title": "Long", "message": "9 orders wait", "type": "warning"}]
    ((line, headers, _),) = receiver.requests
    assert line == f"POST /{SECRET}?key={SECRET} HTTP/1.1"
    assert headers["Authorization"].startswith("Basic ")


def test_types__are_those_of_the_severities() -> None:
    """Each severity has one, and the service is given it."""
    assert list(TYPES) == list(SEVERITIES)
    receiver = Receiver(answer_of(200))

    async def scenario() -> None:
        async with receiver.listening() as port:
            one = kind(service_url(port))
            for severity in SEVERITIES:
                await sent(one, EVENT._replace(severity=severity))

    asyncio.run(scenario())
    assert [each["type"] for each in taken(receiver)] == ["info", "info", "warning", "failure"]


@pytest.mark.parametrize(
    ("title", "body", "wanted"),
    [
        ("Long", "", ("", "Long")),
        ("", "9 wait", ("", "9 wait")),
        ("", "", ("", "queue.long")),
        ("<b>", "a & b\nnext *line*", ("<b>", "a & b\nnext *line*")),
        ("Grüße \U0001f600", "\\n \x00 :smile:", ("Grüße \U0001f600", "\\n \x00 :smile:")),
    ],
)
def test_send__always_has_a_text(title: str, body: str, wanted: tuple[str, str]) -> None:
    """Services refuse an empty one: then the title is it, or the type. Nothing is reworded."""
    receiver = Receiver(answer_of(200))

    async def scenario() -> None:
        async with receiver.listening() as port:
            await sent(kind(service_url(port)), EVENT._replace(title=title, body=body))

    asyncio.run(scenario())
    assert [(one["title"], one["message"]) for one in taken(receiver)] == [wanted]


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(500, body=SECRET),
        answer_of(401),
        answer_of(302, f"Location: http://127.0.0.1:1/{SECRET}", "Connection: close"),
        b"SSH-2.0-sink\r\n" * 100 + b"close",
        b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nclose",
    ],
)
def test_send__is_repeated_where_the_service_does_not_confirm(answer: bytes) -> None:
    """What it answered is not known: all failures are the same, and name no URL."""
    receiver = Receiver(answer)

    async def scenario() -> None:
        async with receiver.listening() as port:
            made = await sent(kind(service_url(port)))
        text = "urls[0]: it did not take the notification"
        assert made == [Attempt("transient", "unconfirmed", text)]

    asyncio.run(scenario())
    assert len(receiver.requests) == 1


def test_send__to_one_that_refuses_connections() -> None:
    """So is one that is away."""
    made = asyncio.run(sent(kind(service_url(1))))
    assert made == [
        Attempt("transient", "unconfirmed", "urls[0]: it did not take the notification")
    ]


def test_send__to_one_that_hangs_costs_its_own_thread_only() -> None:
    """It ends in time. While its threads hang it is not tried, and the other URL is as before."""
    receiver = Receiver(answer_of(200))

    async def scenario(silent: int) -> None:
        async with receiver.listening() as port:
            both = kind(service_url(silent, "?rto=600"), service_url(port), per_host=2)
            late = Attempt("transient", "timeout", "urls[0]: no answer in time")
            targets = both.targets((), EVENT)
            for _ in range(2):
                assert await _one(both, targets[0].id, 0.05) == late
            found = [await _one(both, targets[0].id, 0.05) for _ in range(20)]
            waits = [one.ms for one in found if isinstance(one, Busy) and one.rests]
            assert len(waits) == 20
            assert 1000 <= waits[0] < waits[-1]
            assert await _one(both, targets[1].id, HANG_S) == Attempt("delivered")
            await both.close()

    with hanging() as silent:
        asyncio.run(scenario(silent))


async def _one(to: AppriseKind, name: str, within_s: float) -> Attempt | Busy:
    (target,) = (each for each in to.targets((), EVENT) if each.id == name)
    deadline = asyncio.get_running_loop().time() + within_s
    return await to.send(Delivery("ops", "u1", EVENT), target, deadline)


def test_send__again_once_a_thread_has_ended() -> None:
    """The service has ended the connection: a thread is free, and it is tried."""

    async def scenario() -> None:
        with hanging() as silent:
            one = kind(service_url(silent, "?rto=600"), per_host=1)
            (target,) = one.targets((), EVENT)
            await _one(one, target.id, 0.05)
            assert isinstance(await _one(one, target.id, 0.05), Busy)

        async def is_tried() -> bool:
            return isinstance(await _one(one, target.id, HANG_S), Attempt)

        await until(is_tried, "a thread has ended")

    asyncio.run(scenario())


def test_send__that_has_no_time_left_sends_nothing() -> None:
    """An attempt that ended before it began."""
    made = asyncio.run(sent(kind(service_url(1)), within_s=0))
    assert made == [Attempt("transient", "timeout", "no answer in time")]


def test_targets__have_ids_that_stay_and_show_nothing() -> None:
    """They depend on the URL alone: not on its place, nor on the process."""
    urls = [service_url(port) for port in (1, 2, 3)]
    there, again = kind(*urls), kind(*reversed(urls))
    ids = [target.id for target in there.targets([contact()], EVENT)]
    assert [target.id for target in again.targets((), EVENT)] == ids[::-1]
    assert len(set(ids)) == 3
    assert all(len(one) == 16 and set(one) <= set("0123456789abcdef") for one in ids)
    assert [target.host for target in there.targets((), EVENT)] == ids
    assert not there.has_contacts


@pytest.mark.parametrize(
    "bad",
    ["", "nope://host", "json://", f"tgram://{SECRET}", f"{SECRET}", "https://[::1", "x" * 5000],
)
def test_kind__refuses_urls_without_showing_them(bad: str) -> None:
    """The error names their places."""
    urls: Sequence[str] = (service_url(1), bad, service_url(2), "nope://" + SECRET)
    with pytest.raises(ConfigurationError) as raised:
        kind(*urls)
    why = "not the URL of a service that Apprise can notify"
    assert str(raised.value).splitlines() == [
        f"channels.ops.urls[{place}]: {why}" for place in (1, 3)
    ]


def test_library__logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Not even where a test listens to all loggers: its own is off."""
    caplog.set_level(logging.DEBUG)
    receiver = Receiver(answer_of(500, body=SECRET))

    async def scenario() -> None:
        async with receiver.listening() as port:
            await sent(kind(service_url(port), service_url(1)))

    asyncio.run(scenario())
    assert [record for record in caplog.records if record.name.startswith("apprise")] == []
    threads = {r.threadName for r in caplog.records if SECRET in r.getMessage()}
    # What its HTTP client logs is dropped by the names of these threads.
    assert all(name and name.startswith("apprise-") for name in threads)
