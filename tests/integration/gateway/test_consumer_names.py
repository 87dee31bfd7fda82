"""Names of consumers that have ended: each stays in its group until somebody forgets it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.connection import async_client
from galaxy_notify.redis_state import consumer_names, janitor_store
from galaxy_notify.redis_state.consumer_names import PAGE, StreamPlace, forget_consumers
from galaxy_notify.redis_state.keys import IntentKeys
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.wait import wait_until

Found = Callable[..., Site]
INTENTS = IntentKeys("gn:intents")


def name(client: redis.Redis, stream: str, *names: str) -> None:
    for one in names:
        client.xgroup_createconsumer(stream, "gateway", one)


def names(client: redis.Redis, stream: str) -> set[str]:
    rows: Any = client.xinfo_consumers(stream, "gateway")
    return {row["name"].decode() for row in rows}


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name count as one that was not seen for long."""
    monkeypatch.setattr(janitor_store, "_CONSUMER_MS", -1)


@pytest.mark.usefixtures("forgetful")
def test_janitor__forgets_consumers_that_have_ended(any_server: Server, found: Found) -> None:
    """Of consumers that were not seen for long, those that hold something stay, and the last."""
    site = found(any_server)
    client, stream = site.client, site.keys.stream
    client.xgroup_create(stream, "gateway", id="0", mkstream=True)
    client.xgroup_create(stream, "nobody", id="0")
    name(client, stream, "holds", *(f"gone-{n}" for n in range(PAGE + 5)))
    site.whole = False
    client.xadd(stream, {"n": 1})
    client.xreadgroup("gateway", "holds", {stream: ">"})
    seen = site.now()
    wait_until(lambda: site.now() > seen, "a moment has passed")
    name(client, stream, "last")
    assert site.station().tidy()
    assert names(client, stream) == {"holds", "last"}


def test_janitor__spares_consumers_that_may_live(any_server: Server, found: Found) -> None:
    """Who was seen within the hour stays, whatever it holds."""
    site = found(any_server)
    site.client.xgroup_create(site.keys.stream, "gateway", id="0", mkstream=True)
    name(site.client, site.keys.stream, "a", "b", "c")
    assert site.station().tidy()
    assert names(site.client, site.keys.stream) == {"a", "b", "c"}


@pytest.mark.usefixtures("forgetful")
def test_janitor__without_a_stream_forgets_nobody(server: Server, found: Found) -> None:
    """Where nothing was published yet there is nobody to forget."""
    site = found(server)
    assert site.station().tidy()
    assert not site.client.exists(site.keys.stream)


@pytest.mark.usefixtures("forgetful")
def test_consumer__that_lives_after_all_goes_on(any_server: Server, found: Found) -> None:
    """A consumer that waits for long while its name is forgotten is given what comes then."""
    site = found(any_server)
    stream, given = site.keys.stream, []
    site.client.xgroup_create(stream, "gateway", id="0", mkstream=True)

    def wait_for_one() -> None:
        with any_server.client() as client:
            given.append(client.xreadgroup("gateway", "waits", {stream: ">"}, block=9_000))

    waiting = threading.Thread(target=wait_for_one)
    waiting.start()
    info: Any = site.client.info
    wait_until(lambda: info("clients")["blocked_clients"] == 1, "it waits")
    seen = site.now()
    wait_until(lambda: site.now() > seen, "a moment has passed")
    name(site.client, stream, "later")
    assert site.station().tidy()
    assert names(site.client, stream) == {"later"}
    site.whole = False
    site.client.xadd(stream, {"n": 1})
    waiting.join()
    assert given[0]
    pending: Any = site.client.xpending(stream, "gateway")
    assert pending["pending"] == 1
    assert names(site.client, stream) == {"waits", "later"}


def test_forget__goes_on_where_there_are_more(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass forgets so many names, and says that more are left."""
    monkeypatch.setattr(consumer_names, "_PASS", 10)
    site, left = found(server), []
    site.client.xgroup_create(INTENTS.stream, "gateway", id="0", mkstream=True)
    name(site.client, INTENTS.stream, *(f"gone-{n}" for n in range(25)))

    async def forget() -> bool:
        client = async_client(server.url)
        try:
            place = StreamPlace(INTENTS.stream, INTENTS.never)
            return await forget_consumers(client, place, "gateway", -1)
        finally:
            await client.aclose()

    station = site.station()
    more = True
    while more:
        more = station.run(forget())
        left.append(len(names(site.client, INTENTS.stream)))
    assert left == [15, 5, 1]
