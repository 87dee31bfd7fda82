"""What is sent, and how connections are used; hostile endpoints are in tests/faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from galaxy_notify import __version__
from galaxy_notify.channels import idle_wires
from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.webhook_sender import MOST_BODY, WebhookSender
from galaxy_notify.webhooks.signature import new_secret, signed_headers, verify
from tests.support.receiver import Receiver, answer_of
from tests.support.wait import HANG_S

_FAR_S = 600.0
BODY = '{"title":"Grüße ✓"}'.encode()


def run(
    receiver: Receiver, scenario: Callable[[Callable[..., Awaitable[Attempt]]], Awaitable[None]]
) -> None:
    """Run a scenario with a function that sends to a path of the receiver."""

    async def beside() -> None:
        async with receiver.listening() as port:
            guard = Guard(["127.0.0.1/32"], [port], require_https=False)
            sender = WebhookSender(guard)

            async def send(path: str = "/", body: bytes = BODY, **headers: str) -> Attempt:
                endpoint = guard.endpoint(f"http://127.0.0.1:{port}{path}")
                deadline = asyncio.get_running_loop().time() + _FAR_S
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await sender.send(endpoint, body, named, deadline)

            await scenario(send)
            await sender.close()

    asyncio.run(beside())


def test_request__is_what_a_receiver_verifies() -> None:
    """The path as it was written, and the signature over the body that arrives."""
    receiver, secret = Receiver(answer_of(200, body="thanks")), new_secret()

    async def scenario(send: Callable[..., Awaitable[Attempt]]) -> None:
        signed = signed_headers([secret], "msg_1", 1_700_000_000, BODY)
        made = await send("/a//../%7e?sig=a%2Bb+c", **signed, X_Tenant="7")
        assert made[:6] == ("delivered", "", "", 200, None, "thanks")

    run(receiver, scenario)
    [(line, headers, body)] = receiver.requests
    assert line == "POST /a//../%7e?sig=a%2Bb+c HTTP/1.1"
    assert verify(secret, headers, body, tolerance_s=0) == "msg_1"
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert headers["User-Agent"] == f"galaxy-notify/{__version__}"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["X-Tenant"] == "7"
    assert body == BODY


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answer_of(204), ("delivered", "", 204, None)),
        (answer_of(503, "Retry-After: 7"), ("transient", "http_status", 503, 7000)),
        (answer_of(429), ("transient", "http_status", 429, None)),
        (answer_of(404), ("transient", "http_status", 404, None)),
        (answer_of(410), ("gone", "http_status", 410, None)),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the close", ("delivered", "", 200, None)),
    ],
)
def test_status__decides(answer: bytes, expected: tuple[str, str, int, int | None]) -> None:
    """Each with what a worker needs to go on."""

    async def scenario(send: Callable[..., Awaitable[Attempt]]) -> None:
        made = await send()
        assert (made.outcome, made.reason, made.status, made.retry_after_ms) == expected

    run(Receiver(answer), scenario)


def test_connection__is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any complete answer; not behind one that closes it."""
    monkeypatch.setattr(idle_wires, "_KEPT_S", HANG_S)
    closing = answer_of(200, "Connection: close")
    receiver = Receiver(answer_of(200), answer_of(500), closing, answer_of(200))
    opened = []

    async def scenario(send: Callable[..., Awaitable[Attempt]]) -> None:
        for _ in range(5):
            await send()
            opened.append(receiver.connections)

    run(receiver, scenario)
    assert opened == [1, 1, 1, 2, 2]


def test_body__of_the_largest_size() -> None:
    """It arrives whole; a larger one is not sent."""
    receiver = Receiver(answer_of(200))

    async def scenario(send: Callable[..., Awaitable[Attempt]]) -> None:
        assert (await send(body=b"x" * MOST_BODY)).outcome == "delivered"
        made = await send(body=b"x" * (MOST_BODY + 1))
        assert (made.outcome, made.reason) == ("permanent", "too_large")

    run(receiver, scenario)
    assert [len(body) for _, _, body in receiver.requests] == [MOST_BODY]


@pytest.mark.parametrize("value", ["a\r\nHost: b", "a\nb", "a\0b"])
def test_header__of_more_than_one_line(value: str) -> None:
    """Nothing is sent: it would add a header, or end them."""
    receiver = Receiver(answer_of(200))

    async def scenario(send: Callable[..., Awaitable[Attempt]]) -> None:
        with pytest.raises(ValueError, match="one line"):
            await send(X_A=value)

    run(receiver, scenario)
    assert receiver.connections == 0


def test_many__are_sent_at_once() -> None:
    """Each gets its own answer."""
    receiver = Receiver(answer_of(200))

    async def scenario(send: Callable[..., Awaitable[Attempt]]) -> None:
        made = await asyncio.gather(*(send(body=str(n).encode()) for n in range(100)))
        assert {each.outcome for each in made} == {"delivered"}

    run(receiver, scenario)
    assert {body for _, _, body in receiver.requests} == {str(n).encode() for n in range(100)}
