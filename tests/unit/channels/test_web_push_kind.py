"""What a push service gets, what its answers mean, and which browsers can be sent to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from py_vapid import Vapid02

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.web_push_kind import WebPushKind, open_vapid
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.vapid_keys import new_keys
from galaxy_notify.contacts.web_push_data import key_id_of
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.live_event import LiveEvent
from tests.support.push import KEYS, Browser, audience, settings_of
from tests.support.receiver import Receiver, answer_of

_FAR_S = 600.0
_NOW_MS = 1_900_000_000_000
EVENT = LiveEvent(f"{'0a' * 16}.2/push:u1", "game.turn", "critical", "Grüße", "", {}, _NOW_MS)
KEY_ID = key_id_of(KEYS["public_key"])
NOT_OURS = (
    "the push service refuses our key: check public_key, private_key and subject of the channel"
)
UNKNOWN = "the push service does not know the subscription any more"
Send = Callable[..., Awaitable[Attempt]]


def contact(address: str, browser: Browser, **data: Any) -> Contact:
    """Return a subscription of u1."""
    return Contact("c1", "push", "web_push", address, {**browser.keys, **data}, 1)


def run(receiver: Receiver, scenario: Callable[[Send], Awaitable[None]]) -> None:
    """Run a scenario with a function that sends to a browser by the receiver."""

    async def beside() -> None:
        async with receiver.listening() as port:
            guard = Guard(["127.0.0.1/32"], [port], require_https=False)
            settings = settings_of(max_late_ms=7_200_000)
            vapid = open_vapid("push", settings)
            kind = WebPushKind(settings, vapid, guard=guard, now_ms=lambda: _NOW_MS)

            async def send(browser: Browser, **given: Any) -> Attempt:
                to = contact(f"http://127.0.0.1:{port}/push/token", browser)
                (target,) = kind.targets([to], EVENT)
                deadline = asyncio.get_running_loop().time() + _FAR_S
                return await kind.send(Delivery("push", "u1", EVENT, to, **given), target, deadline)

            await scenario(send)
            await kind.close()

    asyncio.run(beside())


def test_request__is_what_a_push_service_carries() -> None:
    """Signed for its origin, and readable by the browser alone."""
    receiver, browser = Receiver(answer_of(201, body="kept")), Browser()

    async def scenario(send: Send) -> None:
        assert await send(browser) == Attempt("delivered", status=201)

    run(receiver, scenario)
    [(line, headers, body)] = receiver.requests
    assert line == "POST /push/token HTTP/1.1"
    assert json.loads(browser.decrypted(body)) == EVENT.document()
    assert headers["Content-Encoding"] == "aes128gcm"
    assert headers["Urgency"] == "high"
    assert headers["TTL"] == "7200"
    assert len(headers["Topic"]) == 32
    assert Vapid02.verify(headers["Authorization"])
    assert audience(headers["Authorization"]) == f"http://127.0.0.1:{receiver.port}"


def test_ttl__ends_with_the_notification() -> None:
    """Also where that is past: the push service delivers it at once, or never."""
    receiver, browser = Receiver(answer_of(201)), Browser()

    async def scenario(send: Send) -> None:
        for expires_at_ms in (_NOW_MS + 90_000, _NOW_MS - 1):
            assert (await send(browser, expires_at_ms=expires_at_ms)).outcome == "delivered"

    run(receiver, scenario)
    assert [headers["TTL"] for _, headers, _ in receiver.requests] == ["90", "0"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answer_of(200), ("delivered", "", "", 200, None)),
        (answer_of(404), ("gone", "http_status", f"it answered 404: {UNKNOWN}", 404, None)),
        (answer_of(410), ("gone", "http_status", f"it answered 410: {UNKNOWN}", 410, None)),
        (answer_of(401), ("transient", "auth", f"it answered 401: {NOT_OURS}", 401, None)),
        (answer_of(403), ("transient", "auth", f"it answered 403: {NOT_OURS}", 403, None)),
        (
            answer_of(413),
            (
                "permanent",
                "too_large",
                "it answered 413: the push service takes no message of this length",
                413,
                None,
            ),
        ),
        (
            answer_of(429, "Retry-After: 7"),
            ("transient", "http_status", "it answered 429", 429, 7000),
        ),
        (answer_of(500), ("transient", "http_status", "it answered 500", 500, None)),
    ],
)
def test_answer__decides(answer: bytes, expected: tuple[Any, ...]) -> None:
    """As push services mean it; what they write is not kept."""

    async def scenario(send: Send) -> None:
        attempt = await send(Browser())
        assert attempt[:5] == expected
        assert attempt.response == ""

    run(Receiver(answer.replace(b"Length: 0", b"Length: 5") + b"token"), scenario)


def kind() -> WebPushKind:
    """Return a kind as a daemon has it."""
    settings = settings_of()
    return WebPushKind(settings, open_vapid("push", settings))


@pytest.mark.parametrize(
    ("address", "data", "expected"),
    [
        ("https://127.0.0.1/a", {}, ("blocked", "the address is not allowed")),
        ("http://push.example.com/a", {}, ("blocked", "must be https")),
        ("https://push.example.com/a", {"auth": "x"}, ("invalid", "data.auth")),
    ],
)
def test_contact__that_cannot_be_used_is_an_attempt(
    address: str, data: dict[str, str], expected: tuple[str, str]
) -> None:
    """Its owner learns why; nothing is connected to, and no host's limits are shared."""

    async def send() -> None:
        own = kind()
        to = contact(address, Browser(), **data)
        (target,) = own.targets([to], EVENT)
        assert target == Target(to, "")
        attempt = await own.send(Delivery("push", "u1", EVENT, to), target, 0)
        assert attempt.outcome == "permanent"
        assert attempt.reason == expected[0]
        assert attempt.detail.startswith(expected[1])
        await own.close()

    asyncio.run(send())


def test_targets__have_subscribed_with_the_present_key() -> None:
    """What is sent to another one, its push service refuses. Without an id it is tried."""

    async def look() -> None:
        own, browser = kind(), Browser()
        address = "https://push.example.com/a"
        given = [
            contact(address, browser, **data)
            for data in ({"key_id": KEY_ID}, {}, {"key_id": "0" * 16})
        ]
        origin = "https://push.example.com:443"
        assert own.targets(given, EVENT) == [Target(one, origin) for one in given[:2]]
        await own.close()

    asyncio.run(look())


def test_keys__of_different_pairs_are_refused() -> None:
    """Before anything is sent."""
    settings = settings_of(private_key=new_keys().private_key)
    with pytest.raises(ConfigurationError) as caught:
        open_vapid("push", settings)
    assert str(caught.value) == "channels.push.private_key: does not belong to public_key"
