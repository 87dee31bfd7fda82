"""The notifier's connections: what is sent over them again, and when they are left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.intake.notifier import AsyncNotifier, Notifier
from galaxy_notify.intake.receipts import Receipt
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN, intent
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Server


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(any_server.socket) as made:
        yield made


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_accept_many__sends_again_what_was_on_its_way(
    kind: str, any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A connection that is reset between two calls of a chunk costs nothing and repeats nothing."""
    deployment = deploy(any_server)
    deployment.load_scripts()
    intents = [intent(recipients=[f"u{n}"]) for n in range(900)]
    proxy.lose_reply("intent_accept")

    async def accept() -> list[Receipt]:
        async with AsyncNotifier.from_url(proxy.url) as notifier:
            return await notifier.accept_many(intents)

    if kind == "async":
        receipts = asyncio.run(accept())
    else:
        with Notifier.from_url(proxy.url) as notifier:
            receipts = notifier.accept_many(intents)
    assert proxy.lost == 1
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert len(deployment.routes()) == 900
    assert deployment.total("accepted") == 900


class _Trap(Mapping[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise KeyboardInterrupt(key)

    def __iter__(self) -> Iterator[str]:
        raise KeyboardInterrupt

    def __len__(self) -> int:
        return 1


def test_accept_many__ended_half_way_leaves_no_replies_behind(
    any_server: Server, deploy: Deploy
) -> None:
    """What interrupts a producer gets out, and the next call has its own replies."""
    deployment = deploy(any_server)
    intents = [intent(recipients=[f"u{n}"]) for n in range(300)]
    with pytest.raises(KeyboardInterrupt):
        deployment.notifier.accept_many([*intents, _Trap()])
    keyed = {**PLAIN, "idempotency_key": "k", "recipients": ["u1", "u2"]}
    assert deployment.notifier.accept(keyed).routes == 2
    assert deployment.notifier.accept(keyed).status == "duplicate"


def test_notifier__serves_more_threads_than_it_has_connections(
    any_server: Server, deploy: Deploy
) -> None:
    """Nobody waits for a connection in vain while others keep theirs busy."""
    deployment = deploy(any_server)

    def accept(_: int) -> set[str]:
        return {deployment.notifier.accept(PLAIN).status for _ in range(20)}

    with ThreadPoolExecutor(24) as threads:
        assert set().union(*threads.map(accept, range(24))) == {"accepted"}
    assert deployment.total("accepted") == 480


def test_notifier__does_not_trust_an_old_connection(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A connection that was closed meanwhile, or belongs to the process before a fork, is left."""
    deployment = deploy(any_server)
    with Notifier.from_url(proxy.url) as notifier:
        assert notifier.accept(PLAIN).status == "accepted"
        proxy.reset_all()
        assert notifier.accept(PLAIN).status == "accepted"
        connections = proxy.connections
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.getpid", lambda: 1)
            assert notifier.accept(PLAIN).status == "accepted"
        assert proxy.connections == connections + 1
    assert deployment.total("accepted") == 3


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_notifier__refuses_a_deployment_of_another_layout(
    kind: str, any_server: Server, deploy: Deploy
) -> None:
    """What another version keeps otherwise is not written to, not even by who takes it as it is."""
    deployment = deploy(any_server)
    deployment.client.hset(deployment.keys.meta, "format", "1")

    async def accept_async() -> None:
        async with AsyncNotifier.from_url(any_server.url) as notifier:
            await notifier.accept(PLAIN)

    def accept() -> None:
        with Notifier.from_url(any_server.url) as notifier:
            notifier.accept(PLAIN)

    with pytest.raises(ConfigurationError, match="has state format 1"):
        asyncio.run(accept_async()) if kind == "async" else accept()
    assert deployment.routes() == {}


def test_accept__that_is_refused_again_and_again_keeps_its_connection(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A server that lacks replicas may be the wrong one, but is not met anew for every call."""
    deploy(any_server)
    with Notifier.from_url(proxy.url) as notifier, any_server.client() as client:
        notifier.accept(PLAIN)
        before = proxy.connections
        began = time.monotonic()
        client.config_set("min-replicas-to-write", 1)
        try:
            for _ in range(100):
                with pytest.raises(Unavailable, match="NOREPLICAS"):
                    notifier.accept(PLAIN)
        finally:
            client.config_set("min-replicas-to-write", 0)
        assert proxy.connections - before <= 1 + 2 * (time.monotonic() - began)
