"""One address that comes to lead to another server, as a name or a virtual IP does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
import redis

from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.settings import settings_from
from tests.support.daemons import daemon_on
from tests.support.deployment import DeploymentFixture
from tests.support.founded import found_deployment
from tests.support.intake import hand_in, intent, read_until
from tests.support.intents import PLAIN
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Server, main_server, running
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended


class Address(NamedTuple):
    """A proxy that leads to the first of two servers, until that becomes a replica."""

    proxy: Proxy
    old: Server
    new: Server

    def fail_over(self) -> None:
        """Make the old server a replica of the new one, which the address leads to from now on.

        Connections to the old one stay, and it goes on to answer.
        """
        with self.old.client() as client:
            client.replicaof("127.0.0.1", str(self.new.port))
        self.proxy.upstream = self.new.socket


@pytest.fixture
def address() -> Iterator[Address]:
    """Run two servers, and what leads to one of them."""
    with ExitStack() as stack:
        old, new = (stack.enter_context(running(main_server(), tcp=True)) for _ in range(2))
        for one in (old, new):
            found_deployment(one.url)
        yield Address(stack.enter_context(proxied(old.socket)), old, new)


def test_producer__goes_where_the_address_leads(address: Address) -> None:
    """The call that meets the replica is told as unknown; the next one is accepted elsewhere."""
    with Notifier.from_url(address.proxy.url) as notifier:
        assert notifier.accept(PLAIN).status == "accepted"
        address.fail_over()
        with pytest.raises(Unavailable, match="READONLY") as unknown:
            notifier.accept(PLAIN)
        made = unknown.value.notification_id or ""
        assert notifier.accept(PLAIN, notification_id=made).status == "accepted"
        assert notifier.cancel(made).cancelled == 1
    with address.new.client() as client:
        assert client.exists(f"{{gn:0}}:notification:{made}")


def test_reader__goes_where_the_address_leads(address: Address) -> None:
    """A reader of the intent stream takes in what comes to the new server."""
    settings = settings_from({"redis": {"url": address.proxy.url}})

    def taken_in() -> bool:
        with address.old.client() as old, address.new.client() as new:
            if not _accepted(old):
                return False
            if address.proxy.upstream == address.old.socket:
                address.fail_over()
                hand_in(new, intent(2))
            return _accepted(new) > 0

    with address.old.client() as client:
        hand_in(client, intent(1))
    read_until(settings, taken_in, "both are taken in")


def test_daemon__starts_where_the_address_leads(address: Address) -> None:
    """One that met a replica at its start works once the address leads to the primary."""
    with address.old.client() as client:
        client.replicaof("127.0.0.1", str(address.new.port))
    variables = {"GALAXY_NOTIFY_REDIS__URL": address.proxy.url}
    with daemon_on(address.old, variables=variables) as daemon:
        daemon.wait_for("redis unavailable")
        address.proxy.upstream = address.new.socket
        daemon.wait_for("daemon working")
        deployment = DeploymentFixture(address.new.url)
        made = deployment.notify("a")
        wait_until(lambda: deployment.event_ids(), "it is published")
        assert deployment.event_ids()[0].startswith(made)
        deployment.close()


def _accepted(client: redis.Redis) -> int:
    told = client.hget("{gn:0}:totals", "accepted")
    return int(told) if isinstance(told, bytes) else 0
