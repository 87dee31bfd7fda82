"""The background notifier at its limits: a full queue, its end, an outage, a fork."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify import AlreadyClosed, BackgroundNotifier, BackgroundOptions, ConfigurationError
from galaxy_notify.intake.notifier import Notifier
from tests.support.background import NOWHERE, background, drained, enqueue, events, is_exact
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Server, main_server, running
from tests.support.telemetry import Lines
from tests.support.wait import wait_until

MANY = [f"u{n}" for n in range(500)]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(server.socket) as made:
        yield made


@pytest.fixture
def hanging() -> Iterator[Server]:
    """Run a server of the test's own, to be paused."""
    with running(main_server()) as server:
        yield server


def test_outage__is_tried_twice_a_second_at_most(
    server: Server, deploy: Deploy, proxy: Proxy, lines: Lines
) -> None:
    """An outage is probed with pauses, and logged once."""
    deploy(server)
    with background(proxy.url) as notifier:
        enqueue(notifier, *MANY)
        drained(notifier)
        before, began = proxy.connections, time.monotonic()
        with proxy.down():
            enqueue(notifier, *MANY)
            wait_until(lambda: proxy.connections >= before + 4, "it has tried")
            assert proxy.connections - before <= 2 + 2 * (time.monotonic() - began)
        drained(notifier)
    assert events(lines).count("redis unavailable") == 1


def test_full_queue__drops_the_newest_at_once(server: Server, deploy: Deploy, proxy: Proxy) -> None:
    """FT-04: it returns at once, the drop is counted, the older ones survive, it goes on."""
    deployment = deploy(server)
    with background(proxy.url, capacity=100) as notifier:
        with proxy.down():
            enqueue(notifier, "first")
            wait_until(lambda: notifier.stats().in_flight == 1, "one is being sent")
            taken = enqueue(notifier, *MANY[:100])
            assert enqueue(notifier, *MANY[100:200]) == [None] * 100
            assert notifier.stats().dropped == {"queue_full": 100}
        drained(notifier)
        enqueue(notifier, "later")
        drained(notifier)
        assert notifier.stats().accepted == 102
    recipients = {member.partition(":")[2] for member in deployment.routes()}
    assert recipients == {"first", "later", *MANY[:100]}
    assert None not in taken


def test_full_queue__is_full_by_bytes_as_well() -> None:
    """Ten intents of 100 kB do not fit into 500 kB."""
    with background(NOWHERE, capacity_bytes=500_000, batch=1) as notifier:
        enqueue(notifier, "u1")
        wait_until(lambda: notifier.stats().in_flight == 1, "one is being sent")
        made = [notifier.enqueue({**PLAIN, "body": "x" * 100_000}) for _ in range(10)]
        assert sum(one is not None for one in made) == 4


def test_full_queue__blocks_until_the_deadline_only() -> None:
    """A caller that may wait waits no longer than it said, and is counted."""
    options = {"on_full": "block_with_deadline", "block_ms": 20, "capacity": 1}
    with background(NOWHERE, **options) as notifier:
        enqueue(notifier, "u1")
        wait_until(lambda: notifier.stats().in_flight == 1, "one is being sent")
        enqueue(notifier, "u2")
        began = time.monotonic()
        assert enqueue(notifier, "u3") == [None]
        assert time.monotonic() - began >= 0.02
        assert notifier.stats().dropped == {"deadline": 1}


def test_close__drains_what_is_left(server: Server, deploy: Deploy) -> None:
    """FT-05: everything is flushed where that is quick, and afterwards nothing is taken."""
    deployment = deploy(server)
    with BackgroundNotifier.from_url(server.url) as notifier:
        enqueue(notifier, *MANY)
    closed = notifier.close()
    assert closed.is_clean
    assert closed.stats.accepted == 500 == deployment.total("accepted")
    with pytest.raises(AlreadyClosed):
        enqueue(notifier, "late")
    assert notifier.stats().dropped == {}
    assert is_exact(notifier.stats())


def test_close__ends_at_its_deadline(hanging: Server, deploy: Deploy, lines: Lines) -> None:
    """FT-05: where Redis hangs it ends in time and names what is left, to be handed in again."""
    deployment = deploy(hanging)
    with background(hanging.url, batch=100) as notifier:
        enqueue(notifier, "before")
        drained(notifier)
        hanging.pause()
        try:
            ids = enqueue(notifier, *MANY)
            closed = notifier.close(0.3)  # returns while the server still hangs
        finally:
            hanging.resume()
        assert is_exact(closed.stats)
        assert {*closed.unknown, *closed.remaining} == set(ids)
        assert closed.stats.dropped == {"closed": 500}
    assert "background notifier stopped with unsent intents" in events(lines)
    with Notifier.from_url(hanging.url) as direct:
        for recipient, named in zip(MANY, ids, strict=True):
            direct.accept({**PLAIN, "recipients": [recipient]}, notification_id=named)
    assert deployment.total("accepted") == 501


def test_fork__leaves_the_notifier_to_the_parent(server: Server, deploy: Deploy) -> None:
    """A child that uses its parent's notifier is told so, and changes nothing."""
    deployment = deploy(server)
    with background(server.url) as notifier:
        if not (child := os.fork()):
            try:
                notifier.enqueue(PLAIN)
            except RuntimeError as error:
                os._exit(0 if "fork" in str(error) and notifier.close().is_clean else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        enqueue(notifier, "u1")
        drained(notifier)
    assert deployment.total("accepted") == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"capacity": 0}, "capacity"),
        ({"capacity_bytes": 1 << 40}, "capacity_bytes"),
        ({"batch": 2000}, "batch"),
        ({"block_ms": 1.5}, "block_ms"),
        ({"exit_within_s": -1}, "exit_within_s"),
        ({"on_full": "wait"}, "on_full"),
        ({"on_full": "spill"}, "spill_path"),
        ({"spill_path": "/tmp/x"}, "spill_path"),
    ],
)
def test_options__name_what_is_wrong(options: dict[str, Any], field: str) -> None:
    """A wrong option is one clear error that names it."""
    with pytest.raises(ConfigurationError, match=f"^{field}: "):
        BackgroundOptions(**options)
