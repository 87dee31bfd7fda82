"""The receiver counts and answers as asked, and its judge notices what must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.model.route import Route, Status
from galaxy_notify.webhooks.signature import message_id, new_secret, signed_headers
from tests.faults.support.send_run import judged
from tests.support.receiver_process import Behaviour, Receiver, Request, running_receiver

_SECRET = new_secret()
_MEMBER = f"{'0' * 32}/hooks:u0"
_ID = message_id(_MEMBER)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Let a receiver listen."""
    with running_receiver(("127.0.0.1", "127.0.0.2")) as made:
        yield made


def _send(receiver: Receiver, *names: str, host: str = "127.0.0.1") -> list[Attempt]:
    """Send a webhook under each of these ids, one after the other."""

    async def scenario() -> list[Attempt]:
        guard = Guard(["127.0.0.0/8"], [receiver.port], require_https=False)
        sender, endpoint = WebhookSender(guard), guard.endpoint(receiver.url("/hook", host))
        deadline = asyncio.get_running_loop().time() + 300
        found = [
            await sender.send(endpoint, b"{}", signed_headers([_SECRET], name, 1, b"{}"), deadline)
            for name in names
        ]
        await sender.close()
        return found

    return asyncio.run(scenario())


def test_receiver__counts_by_id(receiver: Receiver) -> None:
    """On each of its addresses, also on a connection that is kept."""
    sent = _send(receiver, "a", "b", "a") + _send(receiver, "c", host="127.0.0.2")
    assert [each.outcome for each in sent] == ["delivered"] * 4
    assert {name: len(each) for name, each in receiver.by_id().items()} == {"a": 2, "b": 1, "c": 1}
    assert {(each.path, each.status) for each in receiver.requests()} == {("/hook", 200)}
    receiver.forget()
    assert receiver.count() == 0


def test_receiver__fails_and_is_slow(receiver: Receiver) -> None:
    """As often as asked; each answer is noted."""
    receiver.behave(Behaviour(fail=1, slow=1, slow_ms=1, headers={"Retry-After": "7"}))
    (attempt,) = _send(receiver, "a")
    assert (attempt.status, attempt.retry_after_ms) == (503, 7000)
    assert [each.status for each in receiver.requests()] == [503]


def test_receiver__gate_is_shut(receiver: Receiver) -> None:
    """What came is held, counted and answered once the gate is open."""
    receiver.behave(Behaviour(is_shut=True))

    async def scenario() -> Attempt:
        sending = asyncio.to_thread(_send, receiver, "a")
        task = asyncio.ensure_future(sending)
        await asyncio.to_thread(receiver.wait_for, 1)
        assert [each.status for each in await asyncio.to_thread(receiver.requests)] == [0]
        await asyncio.to_thread(receiver.behave, Behaviour())
        (attempt,) = await task
        return attempt

    assert asyncio.run(scenario()).outcome == "delivered"


def test_receiver__knows_its_secret(receiver: Receiver) -> None:
    """A signature of long ago, by another, or none at all is none."""
    receiver.behave(Behaviour(secret=_SECRET))
    _send(receiver, "a")
    assert [each.is_signed for each in receiver.requests()] == [False]


def _came(*statuses: int, name: str = _ID) -> dict[str, list[Request]]:
    return {name: [Request("/", name, 1.0, status) for status in statuses]}


def _route(status: Status = Status.DELIVERED, **fields: Any) -> dict[str, Route]:
    return {_MEMBER: Route(status, 1, 1, **fields)}


_TWICE = "sent again, and it may have been delivered"


@pytest.mark.parametrize(
    ("routes", "came", "wrong"),
    [
        (_route(), _came(200), []),
        (_route(attempts=2), _came(503, 503, 200), []),
        ({}, {}, ["accepted, and nowhere"]),
        (_route(), {}, ["delivered, and never came"]),
        (_route(), _came(503), ["delivered, and never came"]),
        (_route(attempts=1), _came(200), ["1 attempts, 0 failed"]),
        (_route(), _came(200, 200), [_TWICE]),
        (_route(), _came(0, 200), [_TWICE]),
        (_route(), _came(200) | _came(200, name="x"), ["came, and no route has this id"]),
    ],
)
def test_judge__notices(
    routes: dict[str, Route], came: dict[str, list[Request]], wrong: list[str]
) -> None:
    """What was lost, charged or made up; and, of a channel that sends at most once, twice."""
    for rare in ((), ("hooks",)):
        found = judged({_MEMBER: True}, routes, came, rare)
        texts = [text.partition(": ")[2] for text in found.violations]
        assert texts == [text for text in wrong if rare or text != _TWICE]


def test_judge__knows_what_may_be_anywhere() -> None:
    """What was not answered may be there or not; what came twice is counted."""
    assert judged({_MEMBER: False}, {}, {}, ()).violations == []
    found = judged({_MEMBER: True}, _route(), _came(200, 200), ())
    assert (found.requests, found.repeated, found.violations) == (2, 1, [])
