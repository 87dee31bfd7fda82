"""Fixtures of the fault tests: the seed of the run, and deployments to break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.faults.support.aof import KEEPS_ALL
from tests.faults.support.delivery_run import DURABLE, DeliveryRun
from tests.faults.support.fault_run import FaultRun, fault_run_on
from tests.faults.support.feed_run import FeedRun, FeedShape
from tests.faults.support.mail_run import MailRun
from tests.faults.support.send_run import Endpoints, SendRun
from tests.support.postgres import running_postgres
from tests.support.receiver_process import running_receiver
from tests.support.roads import Road
from tests.support.seed import VARIABLE, seed_of_run
from tests.support.servers import main_server, running, servers_found

NewFaultRun = Callable[..., FaultRun]
NewDeliveryRun = Callable[..., DeliveryRun]
NewFeedRun = Callable[..., FeedRun]
NewSendRun = Callable[..., SendRun]
NewMailRun = Callable[..., MailRun]


#: A slow test may wait long for a busy machine; its own waits end sooner, and say for what.
_SLOW_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests their time, unless they say how much."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SLOW_SECONDS))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Random:
    """Give the random generator of a test: its own, made of the run's seed and its name."""
    request.node.add_report_section("setup", "seed", f"{VARIABLE}={seed_of_run()}")
    return Random(f"{seed_of_run()}:{request.node.name}")


@pytest.fixture
def fault_run(request: pytest.FixtureRequest, rng: Random, road: Road) -> Iterator[NewFaultRun]:
    """Make a deployment on a server of its own: ``fault_run(section__field=value)``.

    Each test runs over both roads, unless a mark of tests/support/roads.py says otherwise.
    """
    with ExitStack() as stack:

        def make(server: str = "", options: dict[str, str] | None = None, **given: Any) -> FaultRun:
            binary = servers_found()[server] if server else main_server()
            made = stack.enter_context(fault_run_on(binary, rng, options, road=road, **given))
            request.node.user_properties.append(("figures", made.figures))
            return made

        yield make


@pytest.fixture(params=list(servers_found()) or ["bundled"])
def any_fault_run(request: pytest.FixtureRequest, fault_run: NewFaultRun) -> NewFaultRun:
    """Make a deployment as `fault_run` does; the test runs once on each flavour of server."""
    return partial(fault_run, request.param)


@pytest.fixture
def delivery_run(request: pytest.FixtureRequest, rng: Random) -> Iterator[NewDeliveryRun]:
    """Make a deployment for gateways: ``delivery_run(users=20, shards=2)``."""
    with ExitStack() as stack:

        def make(server: str = "", **given: Any) -> DeliveryRun:
            binary = servers_found()[server] if server else main_server()
            own = stack.enter_context(running(binary, tcp=True, **DURABLE))
            made = DeliveryRun(own, rng, stack, **given)
            request.node.user_properties.append(("figures", made.figures))
            return made

        yield make


@pytest.fixture(params=list(servers_found()) or ["bundled"])
def any_delivery_run(
    request: pytest.FixtureRequest, delivery_run: NewDeliveryRun
) -> NewDeliveryRun:
    """Make a deployment as `delivery_run` does; the test runs once on each flavour of server."""
    return partial(delivery_run, request.param)


@pytest.fixture
def feed_run(request: pytest.FixtureRequest, rng: Random) -> Iterator[NewFeedRun]:
    """Make a deployment with a feed, on a Redis and a Postgres of its own: ``feed_run(users=50)``.

    *postgres* are settings of the latter.
    """
    with ExitStack() as stack:

        def make(
            postgres: dict[str, str] | None = None, asks_password: bool = False, **given: int
        ) -> FeedRun:
            server = stack.enter_context(running(main_server(), tcp=True, **DURABLE))
            own = running_postgres(asks_password=asks_password, **postgres or {})
            database = stack.enter_context(own)
            made = FeedRun(server, database, rng, stack, FeedShape(**given))
            request.node.user_properties.append(("figures", made.figures))
            return made

        yield make


@pytest.fixture
def send_run(request: pytest.FixtureRequest, rng: Random) -> Iterator[NewSendRun]:
    """Make a deployment that sends to a receiver: ``send_run({"hooks": {"per_host": 1}})``.

    Webhooks may also go to *ports*.
    """
    with ExitStack() as stack:

        def make(
            channels: Mapping[str, Mapping[str, Any]] | None = None,
            ports: Sequence[int] = (),
            **given: Any,
        ) -> SendRun:
            own = stack.enter_context(running(main_server(), tcp=True, **KEEPS_ALL))
            receiver = stack.enter_context(running_receiver(seed=rng.getrandbits(32)))
            made = SendRun(own, rng, stack, receiver, Endpoints(channels or {}, ports), **given)
            request.node.user_properties.append(("figures", made.figures))
            return made

        yield make


@pytest.fixture
def mail_run(request: pytest.FixtureRequest, rng: Random, tmp_path: Path) -> Iterator[NewMailRun]:
    """Make a deployment that sends e-mails: ``mail_run(delivery="at_most_once")``."""
    with ExitStack() as stack:

        def make(**channel: Any) -> MailRun:
            own = stack.enter_context(running(main_server(), tcp=True, **DURABLE))
            made = MailRun(own, rng, stack, tmp_path, **channel)
            request.node.user_properties.append(("figures", made.figures))
            return made

        yield make
