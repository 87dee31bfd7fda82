"""Names of consumers that have ended: each stays in its group until somebody forgets it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.connection import async_client
from galaxy_notify.redis_state import consumer_names, janitor_store
from galaxy_notify.redis_state.consumer_names import PAGE, forget_consumers
from galaxy_notify.redis_state.keys import IntentKeys
from tests.support.deployment import Deploy
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

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
def test_janitor__forgets_consumers_that_have_ended(any_server: Server, deploy: Deploy) -> None:
    """Of consumers that were not seen for long, those that hold something stay, and the last."""
    deployment = deploy(any_server)
    client, stream = deployment.client, deployment.keys.stream
    client.xgroup_create(stream, "gateway", id="0", mkstream=True)
    client.xgroup_create(stream, "nobody", id="0")
    name(client, stream, "holds", *(f"gone-{n}" for n in range(PAGE + 5)))
    deployment.whole = False
    client.xadd(stream, {"n": 1})
    client.xreadgroup("gateway", "holds", {stream: ">"})
    seen = deployment.now()
    wait_until(lambda: deployment.now() > seen, "a moment has passed")
    name(client, stream, "last")
    assert deployment.worker_harness().tidy()
    assert names(client, stream) == {"holds", "last"}


def test_janitor__spares_consumers_that_may_live(any_server: Server, deploy: Deploy) -> None:
    """Who was seen within the hour stays, whatever it holds."""
    deployment = deploy(any_server)
    deployment.client.xgroup_create(deployment.keys.stream, "gateway", id="0", mkstream=True)
    name(deployment.client, deployment.keys.stream, "a", "b", "c")
    assert deployment.worker_harness().tidy()
    assert names(deployment.client, deployment.keys.stream) == {"a", "b", "c"}


@pytest.mark.usefixtures("forgetful")
def test_janitor__without_a_stream_forgets_nobody(server: Server, deploy: Deploy) -> None:
    """Where nothing was published yet there is nobody to forget."""
    deployment = deploy(server)
    assert deployment.worker_harness().tidy()
    assert not deployment.client.exists(deployment.keys.stream)


@pytest.mark.usefixtures("forgetful")
def test_consumer__that_lives_after_all_goes_on(any_server: Server, deploy: Deploy) -> None:
    """A consumer that waits for long while its name is forgotten is given what comes then."""
    deployment = deploy(any_server)
    stream, given = deployment.keys.stream, []
    deployment.client.xgroup_create(stream, "gateway", id="0", mkstream=True)

    def wait_for_one() -> None:
        with redis.Redis.from_url(any_server.url, socket_timeout=HANG_S) as client:
            given.append(client.xreadgroup("gateway", "waits", {stream: ">"}, block=0))

    waiting = threading.Thread(target=wait_for_one)
    waiting.start()
    info: Any = deployment.client.info
    wait_until(lambda: info("clients")["blocked_clients"] == 1, "it waits")
    seen = deployment.now()
    wait_until(lambda: deployment.now() > seen, "a moment has passed")
    name(deployment.client, stream, "later")
    assert deployment.worker_harness().tidy()
    assert names(deployment.client, stream) == {"later"}
    deployment.whole = False
    deployment.client.xadd(stream, {"n": 1})
    waiting.join()
    assert given[0]
    pending: Any = deployment.client.xpending(stream, "gateway")
    assert pending["pending"] == 1
    assert names(deployment.client, stream) == {"waits", "later"}


def test_forget__goes_on_where_there_are_more(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass forgets so many names, and says that more are left."""
    monkeypatch.setattr(consumer_names, "_PASS", 10)
    deployment, left = deploy(server), []
    deployment.client.xgroup_create(INTENTS.stream, "gateway", id="0", mkstream=True)
    name(deployment.client, INTENTS.stream, *(f"gone-{n}" for n in range(25)))

    async def forget() -> bool:
        client = async_client(server.url)
        try:
            return await forget_consumers(client, INTENTS, "gateway", -1)
        finally:
            await client.aclose()

    harness = deployment.worker_harness()
    more = True
    while more:
        more = harness.run(forget())
        left.append(len(names(deployment.client, INTENTS.stream)))
    assert left == [15, 5, 1]
