"""Who founds a deployment: whoever has its settings, and never a client that has only a URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from galaxy_notify import AsyncNotifier, Notifier, Unavailable
from galaxy_notify.gateway import GatewayConsumer
from galaxy_notify.redis_client import async_pools, pools
from tests.support.background import background, drained, enqueue
from tests.support.daemons import daemon_on
from tests.support.deployment import DeploymentFixture
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.servers import Server, main_server, running
from tests.support.wait import until, wait_until

NONE_YET = r"^no deployment at this prefix yet: start galaxy-notify run$"
META = "{gn:0}:meta"
#: Callers that wait for a connection.
_WAITING = 30


def _sync(url: str, call: Callable[[Notifier], object]) -> object:
    with Notifier.from_url(url) as notifier:
        return call(notifier)


async def _async(url: str, name: str, *arguments: Any) -> None:
    async with AsyncNotifier.from_url(url) as notifier:
        await getattr(notifier, name)(*arguments)


async def _prefer(url: str) -> None:
    async with AsyncNotifier.from_url(url) as notifier:
        await notifier.preferences.silence("user-7")


async def _report(url: str) -> None:
    consumer = GatewayConsumer.from_url(url, group="gateway", consumer="gw-1")
    async with consumer:
        await consumer.report()


CLIENTS: dict[str, Callable[[str], object]] = {
    "accept": lambda url: _sync(url, lambda one: one.accept(PLAIN)),
    "accept_many": lambda url: _sync(url, lambda one: one.accept_many([PLAIN])),
    "cancel": lambda url: _sync(url, lambda one: one.cancel("0" * 32)),
    "reschedule": lambda url: _sync(url, lambda one: one.reschedule("0" * 32, 10**12)),
    "preferences": lambda url: _sync(url, lambda one: one.preferences.silence("user-7")),
    "async accept": lambda url: asyncio.run(_async(url, "accept", PLAIN)),
    "async accept_many": lambda url: asyncio.run(_async(url, "accept_many", [PLAIN])),
    "async preferences": lambda url: asyncio.run(_prefer(url)),
    "consumer": lambda url: asyncio.run(_report(url)),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_founding__is_not_for_a_client_with_a_url(name: str, server: Server) -> None:
    """On an empty server it is `Unavailable`, which says what to start; nothing is written."""
    with pytest.raises(Unavailable, match=NONE_YET):
        CLIENTS[name](server.url)
    with server.client() as client:
        assert client.keys("*") == []


def test_founding__an_accept_carries_the_id_to_repeat_it_with(server: Server) -> None:
    """As after an outage: the repeat is accepted, under the shards of the daemon."""
    with Notifier.from_url(server.url) as notifier:
        with pytest.raises(Unavailable, match=NONE_YET) as first:
            notifier.accept(PLAIN)
        with daemon_on(server, worker__shards=4) as daemon:
            daemon.wait_for("daemon working")
            repeated = notifier.accept(PLAIN, notification_id=first.value.notification_id)
    assert repeated.notification_id == first.value.notification_id
    with server.client() as client:
        assert client.hget(META, "shards") == b"4"


def test_founding__what_waits_in_the_background_goes_to_what_is_founded(server: Server) -> None:
    """A background notifier keeps what it has until there is a deployment."""
    with background(server.url) as notifier:
        enqueue(notifier, "a", "b")
        wait_until(lambda: notifier.stats().waiting == 2, "it waits")
        with server.client() as client:
            assert client.keys("*") == []
        found_deployment(server.url, shards=4)
        drained(notifier)
        assert notifier.stats().accepted == 2
    with closing(DeploymentFixture(server.url, worker__shards=4)) as deployment:
        assert deployment.total("accepted") == 2


@pytest.fixture
def forgetful() -> Iterator[Server]:
    """Give a server of one's own, which has nothing after a restart."""
    with running(main_server()) as own:
        yield own


def test_founding__a_server_that_lost_everything_has_no_deployment(forgetful: Server) -> None:
    """What connected before the restart founds nothing, and goes on with what is founded then."""
    found_deployment(forgetful.url, shards=4)
    with Notifier.from_url(forgetful.url) as notifier:
        assert notifier.accept(PLAIN).status == "accepted"
        forgetful.restart()
        with pytest.raises(Unavailable, match=NONE_YET):
            notifier.accept(PLAIN)
        with forgetful.client() as client:
            assert client.keys("*") == []
        found_deployment(forgetful.url, shards=4)
        assert notifier.accept(PLAIN).status == "accepted"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody who waits for a connection give up, however long a restart takes."""
    for module in (pools, async_pools):
        monkeypatch.setattr(module, "LOOKS", 1000)


class _Reading(Mapping[str, Any]):
    """An intent that does something whenever it is read."""

    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then

    def __getitem__(self, name: str) -> Any:
        self._then()
        return PLAIN[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PLAIN)

    def __len__(self) -> int:
        return len(PLAIN)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_founding__is_seen_where_an_intent_uses_another_notifier(
    asynchronous: bool, server: Server, forgetful: Server
) -> None:
    """What the one is asked meanwhile does not hide what the other one's server has lost."""
    found_deployment(forgetful.url, shards=4)
    found_deployment(server.url)

    def accept(notifier: Notifier) -> None:
        assert notifier.accept(PLAIN).status == "accepted"
        forgetful.restart()
        notifier.accept_many([read])

    async def accept_async() -> None:
        async with AsyncNotifier.from_url(forgetful.url) as notifier:
            assert (await notifier.accept(PLAIN)).status == "accepted"
            await asyncio.to_thread(forgetful.restart)
            await notifier.accept_many([read])

    with Notifier.from_url(server.url) as other:
        read = _Reading(lambda: other.accept(PLAIN))
        with pytest.raises(Unavailable, match=NONE_YET):
            asyncio.run(accept_async()) if asynchronous else _sync(forgetful.url, accept)
    with forgetful.client() as client:
        assert client.keys("*") == []


def test_founding__async_clients_see_it_too(forgetful: Server) -> None:
    """The same for `AsyncNotifier`, in one loop."""

    async def main() -> None:
        async with AsyncNotifier.from_url(forgetful.url) as notifier:
            assert (await notifier.accept(PLAIN)).status == "accepted"
            await asyncio.to_thread(forgetful.restart)
            with pytest.raises(Unavailable, match=NONE_YET):
                await notifier.accept(PLAIN)
            found_deployment(forgetful.url, shards=4)
            assert (await notifier.accept(PLAIN)).status == "accepted"

    found_deployment(forgetful.url, shards=4)
    asyncio.run(main())


def test_founding__other_shards_are_read_before_anything_is_written(forgetful: Server) -> None:
    """Nothing goes to the shards of before: one call fails, the next one goes by the new number."""
    found_deployment(forgetful.url, shards=4)
    with Notifier.from_url(forgetful.url) as notifier:
        assert notifier.accept(PLAIN).status == "accepted"
        forgetful.restart()
        found_deployment(forgetful.url, shards=2)
        with pytest.raises(Unavailable, match="number of shards"):
            notifier.accept(PLAIN)
        for _ in range(20):
            assert notifier.accept(PLAIN).status == "accepted"
    with closing(DeploymentFixture(forgetful.url, worker__shards=2)) as deployment:
        assert deployment.total("accepted") == 20


@pytest.mark.usefixtures("patient")
def test_founding__nothing_that_waits_goes_to_the_shards_of_before(forgetful: Server) -> None:
    """Calls that were planned before the restart fail, all of them, and the next one works."""
    found_deployment(forgetful.url, shards=4)
    with Notifier.from_url(forgetful.url) as notifier, ThreadPoolExecutor(_WAITING) as threads:
        assert notifier.accept(PLAIN).status == "accepted"
        pool: Any = notifier._client._client.connection_pool
        lent = [pool.get_connection() for _ in range(8)]
        calls = [threads.submit(notifier.accept, PLAIN) for _ in range(_WAITING)]
        wait_until(lambda: len(pool._line) == _WAITING, "they wait in line")
        forgetful.restart()
        found_deployment(forgetful.url, shards=2)
        for connection in lent:
            pool.discard(connection)
        assert {str(call.exception()).partition(":")[0] for call in calls} == {"other_deployment"}
        assert notifier.accept(PLAIN).status == "accepted"
    with closing(DeploymentFixture(forgetful.url, worker__shards=2)) as deployment:
        assert deployment.total("accepted") == 1


@pytest.mark.usefixtures("patient")
def test_founding__no_task_that_waits_goes_to_the_shards_of_before(forgetful: Server) -> None:
    """The same for `AsyncNotifier`."""
    found_deployment(forgetful.url, shards=4)

    async def main() -> None:
        async with AsyncNotifier.from_url(forgetful.url) as notifier:
            assert (await notifier.accept(PLAIN)).status == "accepted"
            pool: Any = notifier._client._client.connection_pool
            lent = [await pool.get_connection() for _ in range(8)]
            calls = [asyncio.ensure_future(notifier.accept(PLAIN)) for _ in range(_WAITING)]
            share = pool._shares[asyncio.get_running_loop()]
            # The first has a call of its own; the others came while it waited, and share one.
            await until(lambda: len(share._line) == 2, "they wait in line")
            forgetful.restart()
            found_deployment(forgetful.url, shards=2)
            for connection in lent:
                pool.discard(connection)
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert {str(end).partition(":")[0] for end in ends} == {"other_deployment"}
            assert (await notifier.accept(PLAIN)).status == "accepted"

    asyncio.run(main())
    with closing(DeploymentFixture(forgetful.url, worker__shards=2)) as deployment:
        assert deployment.total("accepted") == 1


def test_founding__daemons_found_again_what_a_server_lost(forgetful: Server) -> None:
    """A client that waits meets the shards that the daemons have."""
    with daemon_on(forgetful, worker__shards=4) as daemon:
        daemon.wait_for("daemon working")
        forgetful.restart()
        with forgetful.client() as client:
            wait_until(lambda: client.hget(META, "shards") == b"4", "it is founded again")
        with Notifier.from_url(forgetful.url) as notifier:
            assert notifier.accept(PLAIN).status == "accepted"
        assert daemon.process.poll() is None
