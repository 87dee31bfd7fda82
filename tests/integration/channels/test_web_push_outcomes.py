"""Row E9: what a push service answers, through a worker; the route, the contact, the log."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from py_vapid import Vapid02
from structlog.testing import capture_logs

from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.web_push_kind import WebPushKind, open_vapid
from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.contacts import Contacts
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow_sync
from tests.support.channel_world import ChannelWorld, world_of
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.push import KEYS, Browser, audience, push_sections
from tests.support.receiver import Receiver, answer_of
from tests.support.servers import Server
from tests.support.tls import Authority
from tests.support.wait import until

_NAME = "browsers"
_TOKEN = "a-token-of-the-endpoint"
_ATTEMPTS = 3
#: So no attempt is given up for being slow, and a lease outlives the test.
_FIELDS = {
    "schedule_ms": [1] * 9,
    "max_attempts": _ATTEMPTS,
    "timeout_ms": 600_000,
    "lease_ttl_ms": 86_400_000,
}


class Case(NamedTuple):
    """What the push service answers, last to the end, and what that comes to."""

    answers: list[bytes]
    status: str
    failure: str = ""
    message: str = ""
    disabled: str = ""
    requests: int = 1


_KEY = "the push service refuses our key: check public_key, private_key and subject of the channel"
CASES = {
    "201": Case([answer_of(201)], "delivered"),
    "404": Case([answer_of(404)], "skipped", "endpoint_disabled", disabled="gone"),
    "410": Case([answer_of(410)], "skipped", "endpoint_disabled", disabled="gone"),
    "413": Case(
        [answer_of(413)],
        "dead_letter",
        "delivery_refused",
        "it answered 413: the push service takes no message of this length",
    ),
    "429": Case(
        [answer_of(429)], "dead_letter", "delivery_failed", "it answered 429", requests=_ATTEMPTS
    ),
    "429_once": Case([answer_of(429, "Retry-After: 1"), answer_of(201)], "delivered", requests=2),
    "401": Case(
        [answer_of(401)],
        "dead_letter",
        "delivery_failed",
        f"it answered 401: {_KEY}",
        requests=_ATTEMPTS,
    ),
    "403": Case(
        [answer_of(403)],
        "dead_letter",
        "delivery_failed",
        f"it answered 403: {_KEY}",
        requests=_ATTEMPTS,
    ),
    "500": Case(
        [answer_of(500)], "dead_letter", "delivery_failed", "it answered 500", requests=_ATTEMPTS
    ),
    "500_once": Case([answer_of(500), answer_of(201)], "delivered", requests=2),
}


class Pushes:
    """A deployment whose user u1 has browsers at one push service, and its worker."""

    def __init__(self, deployment: DeploymentFixture, receiver: Receiver, folder: Path) -> None:
        self.deployment = deployment
        self.receiver = receiver
        authority = Authority(folder, "push")
        own = authority.issue("service")
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(own.cert, own.key)
        self._trusted = ssl.create_default_context(cafile=authority.cert)
        self._book = open_book(deployment.settings)

    def subscribe(self, *browsers: Browser, **data: str) -> None:
        """Give the user these browsers."""
        url = f"https://127.0.0.1:{self.receiver.port}/{_TOKEN}"
        wanted = [
            NewContact(_NAME, f"{url}/{number}", str(number), {**browser.keys, **data})
            for number, browser in enumerate(browsers)
        ]
        flow = self._book.put(self.deployment.key_space, "u1", wanted)
        run_flow_sync(self.deployment.client, flow)

    def disabled(self) -> list[str]:
        """Return why each contact is disabled; empty: it is not."""
        flow = self._book.all_of(self.deployment.key_space, "u1")
        found = run_flow_sync(self.deployment.client, flow)
        return [one.disabled_reason for one in found.contacts]

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[ChannelWorld]:
        """Give what hands intents in, while the push service listens."""
        async with self.receiver.listening(self._tls) as port:
            world = world_of(self.deployment)
            settings: Any = self.deployment.settings.channels[_NAME]
            guard = Guard(["127.0.0.1/32"], [port])
            sender = WebhookSender(guard, tls=self._trusted)
            kind = WebPushKind(settings, open_vapid(_NAME, settings), guard=guard, sender=sender)
            client = open_async(world.settings, connections=4, name="contacts")
            kinds: Any = {_NAME: kind}
            book: Any = Contacts(client, self.deployment.key_space, world.settings)
            world.kinds, world.book = kinds, book
            try:
                yield world
            finally:
                await client.aclose()

    async def sent(self, world: ChannelWorld, status: str) -> Route:
        """Notify the user, and return the route once it has this status."""
        (member,) = world.notify("u1", channel=_NAME, data={"turn": 7})
        async with world.working():
            await until(
                lambda: str(self.deployment.route(member).status) == status, f"it is {status}"
            )
        return self.deployment.route(member)


@pytest.fixture
def pushes(server: Server, deploy: Deploy, tmp_path: Path) -> Callable[..., Pushes]:
    """Make a deployment whose push service gives these answers."""
    deployment = deploy(server, **push_sections(_NAME, **_FIELDS))

    def make(*answers: bytes) -> Pushes:
        return Pushes(deployment, Receiver(*answers), tmp_path)

    return make


@pytest.mark.parametrize("name", CASES)
def test_answer__of_a_push_service(name: str, pushes: Callable[..., Pushes]) -> None:
    """The route ends as it should, the contact is disabled or not, and no log has a secret."""
    case, browser = CASES[name], Browser()
    made = pushes(*case.answers)

    async def scenario() -> None:
        async with made.worker() as world:
            made.subscribe(browser)
            route = await made.sent(world, case.status)
            failure = route.failure
            last = failure.failure_class if failure else route.history[-1].failure_class
            assert (last or "") == case.failure
            assert (failure.message if failure else "") == case.message

    with capture_logs() as lines:
        asyncio.run(scenario())
    assert made.disabled() == [case.disabled]
    assert len(made.receiver.requests) == case.requests
    assert lines
    _assert_secret(json.dumps(lines, default=repr), browser)
    _assert_pushed(made.receiver, browser)


def _assert_secret(text: str, browser: Browser) -> None:
    """Fail where a text has a key, or the endpoint."""
    for secret in (*browser.keys.values(), KEYS["private_key"], _TOKEN, "vapid t="):
        assert secret not in text


def _assert_pushed(receiver: Receiver, browser: Browser) -> None:
    """Fail unless each request is signed for the service, and the browser can read it."""
    topics = set()
    for line, headers, body in receiver.requests:
        assert line == f"POST /{_TOKEN}/0 HTTP/1.1"
        assert Vapid02.verify(headers["Authorization"])
        assert audience(headers["Authorization"]) == f"https://127.0.0.1:{receiver.port}"
        assert json.loads(browser.decrypted(body))["data"] == {"turn": 7}
        topics.add(headers["Topic"])
    # A repeated message replaces the first at the push service.
    assert len(topics) == 1


def test_browser__of_two_is_gone(pushes: Callable[..., Pushes]) -> None:
    """The other one has it, and the route is delivered."""
    made, browsers = pushes(answer_of(410), answer_of(201)), (Browser(), Browser())

    async def scenario() -> None:
        async with made.worker() as world:
            made.subscribe(*browsers)
            await made.sent(world, "delivered")

    asyncio.run(scenario())
    assert sorted(made.disabled()) == ["", "gone"]
    assert len(made.receiver.requests) == 2


def test_key__of_the_channel_was_replaced(pushes: Callable[..., Pushes]) -> None:
    """A browser that has subscribed with another one is not sent to, nor disabled."""
    made = pushes(answer_of(201))

    async def scenario() -> None:
        async with made.worker() as world:
            made.subscribe(Browser(), key_id="0" * 16)
            route = await made.sent(world, "skipped")
            assert route.history[-1].failure_class == "unsubscribed"

    asyncio.run(scenario())
    assert made.receiver.requests == []
    assert made.disabled() == [""]
