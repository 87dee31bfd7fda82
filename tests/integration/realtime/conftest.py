"""What tests of gateway processes share: one gateway of the usual settings, users of their own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.application import Application, application_on
from tests.support.chromium import Chromium, running_chromium
from tests.support.feeds import migrate
from tests.support.gateways import GatewayProcess, Publisher, gateway_on
from tests.support.own_feeds import FeedGateways, OwnFeed, feed_gateways
from tests.support.pages import Site, running_site
from tests.support.postgres import Postgres, PostgresServer
from tests.support.servers import Server, main_server, running

_USERS = count(1)


@pytest.fixture(scope="session")
def gateway() -> Iterator[GatewayProcess]:
    """Give a gateway that no test ends, on a server that no test empties."""
    with running(main_server()) as server, gateway_on(server) as made:
        yield made


@pytest.fixture(scope="session")
def publish(gateway: GatewayProcess) -> Iterator[Publisher]:
    """Give what publishes events to the users of that gateway."""
    with gateway.server.client() as client:
        yield Publisher(client)


@pytest.fixture
def user() -> str:
    """Give a user that no other test has."""
    return f"user-{next(_USERS)}"


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Give a server that may be killed; it keeps what it answered."""
    with running(main_server(), appendonly="yes") as server:
        yield server


@pytest.fixture
def app(any_server: Server) -> Iterator[Application]:
    """Give an application on each server."""
    with application_on(any_server) as made:
        yield made


@pytest.fixture
def own_app(own_server: Server) -> Iterator[Application]:
    """Give an application on a server that may be killed."""
    with application_on(own_server) as made:
        yield made


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Give a browser."""
    with running_chromium() as made:
        yield made


@pytest.fixture
def profile(chromium: Chromium) -> Iterator[str]:
    """Give a profile of the browser: its tabs share locks and channels, and no other does."""
    with chromium.profile() as name:
        yield name


@pytest.fixture
def site() -> Iterator[Site]:
    """Give an origin with pages."""
    with running_site() as made:
        yield made


@pytest.fixture(scope="session")
def feed_places(postgres_server: PostgresServer) -> Iterator[FeedGateways]:
    """Give two gateways with a feed, which no test ends or empties."""
    postgres_server.ensure_running()
    database = Postgres(postgres_server, postgres_server.create_database())
    migrate(database)
    with (
        running(main_server()) as server,
        feed_gateways(server, database, 2, realtime__presence_ttl_ms=3000) as made,
    ):
        yield made


@pytest.fixture
def own(feed_places: FeedGateways, user: str, postgres_server: PostgresServer) -> Iterator[OwnFeed]:
    """Give the feed of a user that no other test has."""
    postgres_server.ensure_running()
    with feed_places.own(user) as made:
        yield made
