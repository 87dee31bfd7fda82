"""TLS with certificates on both sides: everything works over it, and what is wrong is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError

from galaxy_notify import AsyncNotifier, Misconfigured, Notifier
from galaxy_notify.gateway import Event, GatewayConsumer
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import Remedy, classify
from galaxy_notify.settings import settings_from
from tests.support.command import CommandLine
from tests.support.daemons import daemon_on
from tests.support.intents import PLAIN
from tests.support.requirements import requires_program
from tests.support.servers import Server, main_server, running, servers_found
from tests.support.tls import Authority, Pair, tls_server
from tests.support.wait import until, wait_until

pytestmark = [requires_program("openssl"), pytest.mark.extended]
# The bundled server is built without TLS.
WITH_TLS = [name for name in servers_found() if name != "bundled"]
ON_ONE = pytest.mark.parametrize("deployment", WITH_TLS[:1], indirect=True)


class DeploymentFixture(NamedTuple):
    """A server behind TLS, and the certificates around it."""

    server: Server
    port: int
    authority: Authority
    client: Pair

    def redis(self, **changed: str) -> dict[str, str]:
        """Return the settings with which it is reached."""
        mine = {"tls_cert": str(self.client.cert), "tls_key": str(self.client.key)}
        there = {"url": f"rediss://127.0.0.1:{self.port}/0", "tls_ca": str(self.authority.cert)}
        return {name: value for name, value in (there | mine | changed).items() if value}

    def command(self, **changed: str) -> CommandLine:
        """Return the command line as it reaches the server."""
        found = self.redis(**changed)
        rest = {f"REDIS__{name.upper()}": value for name, value in found.items()}
        return CommandLine(rest.pop("REDIS__URL"), rest)


@pytest.fixture(params=WITH_TLS)
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeploymentFixture]:
    """Run a server that asks for certificates."""
    authority = Authority(tmp_path, "ca")
    own, client = authority.issue("server"), authority.issue("client")
    with tls_server(servers_found()[request.param], authority, own) as (server, port):
        yield DeploymentFixture(server, port, authority, client)


def test_tls__carries_everything(deployment: DeploymentFixture) -> None:
    """Producer, daemon, consumer and the command line, each with a certificate."""
    seen: list[Event] = []

    async def consume() -> None:
        settings = settings_from({"redis": deployment.redis()})
        async with GatewayConsumer(settings, group="gateway", consumer="gw-1") as consumer:

            async def handle(event: Event) -> None:
                seen.append(event)
                consumer.stop()

            await consumer.run(handle)

    settings = {f"redis__{name}": value for name, value in deployment.redis().items()}
    # The environment of the process names the server's UNIX socket; it must not be used.
    variables = {"GALAXY_NOTIFY_REDIS__URL": deployment.redis()["url"]}
    with daemon_on(deployment.server, variables=variables, **settings) as daemon:
        daemon.wait_for("daemon working")
        with Notifier(settings_from({"redis": deployment.redis()})) as notifier:
            made = notifier.accept(PLAIN)
        asyncio.run(consume())
        told = json.loads(deployment.command().run("status", "--json").stdout)
    assert [event.event_id for event in seen] == [f"{made.notification_id}/push:user-7"]
    assert told["totals"]["published"] == 1


WRONG = {
    "another CA": ("self-signed certificate in certificate chain", "redis.tls_ca"),
    "another host": ("certificate is not valid for 'localhost'", "redis.url"),
    "a key of another certificate": ("key values mismatch", "tls_key"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_tls__that_cannot_be_trusted_is_told(
    deployment: DeploymentFixture, tmp_path: Path, wrong: str
) -> None:
    """One line says what is wrong and where to look, and the exit code is 78."""
    other = Authority(tmp_path, "other")
    changed = {
        "another CA": {"tls_ca": str(other.cert)},
        "another host": {"url": f"rediss://localhost:{deployment.port}/0"},
        "a key of another certificate": {"tls_key": str(other.issue("client").key)},
    }[wrong]
    done = deployment.command(**changed).run("status")
    assert done.exit_code == 78, done.output
    (line,) = done.stderr.splitlines()
    assert all(part in line for part in WRONG[wrong]), line


def test_tls__server_without_it_is_named() -> None:
    """A plain server that TLS is spoken to is told from one that is slow."""
    with running(main_server(), tcp=True) as server:
        url = server.tcp_url.replace("redis://", "rediss://")
        _assert_named(url, f"at {url.split('/')[2]} does not speak TLS: use redis://")


@ON_ONE
def test_tls__server_with_it_is_named(deployment: DeploymentFixture) -> None:
    """A TLS server that is spoken to without it is told from one that is away."""
    where = f"127.0.0.1:{deployment.port}"
    _assert_named(f"redis://{where}/0", f"the server at {where} speaks TLS: use rediss://")


def _assert_named(url: str, words: str) -> None:
    """Assert that threads, asyncio and the command line tell the same, as misconfigured."""

    async def accept() -> None:
        async with AsyncNotifier.from_url(url) as notifier:
            await notifier.accept(PLAIN)

    with Notifier.from_url(url) as notifier, pytest.raises(Misconfigured) as sync:
        notifier.accept(PLAIN)
    with pytest.raises(Misconfigured) as later:
        asyncio.run(accept())
    done = CommandLine(url).run("status")
    assert done.exit_code == 78
    for text in (str(sync.value), str(later.value), done.stderr):
        assert words in text


@ON_ONE
def test_tls__expired_certificate_ends_a_daemon_at_its_start(deployment: DeploymentFixture) -> None:
    """A server's certificate that has run out is told in one line, with 78."""
    old = deployment.authority.issue("old", days=-1)
    with tls_server(deployment.server.binary, deployment.authority, old) as (server, port):
        url = f"rediss://127.0.0.1:{port}/0"
        assert "certificate has expired" in _last_words(deployment, server, url=url)


@ON_ONE
@pytest.mark.parametrize("given", ["none", "expired"])
def test_tls__our_certificate_that_is_not_accepted_is_told(
    deployment: DeploymentFixture, given: str
) -> None:
    """A server that does not accept our certificate ends a daemon at its start with 78."""
    changed = {"tls_cert": "", "tls_key": ""}
    if given != "none":
        pair = deployment.authority.issue("mine", days=-1)
        changed = {"tls_cert": str(pair.cert), "tls_key": str(pair.key)}
    line = _last_words(deployment, deployment.server, **changed)
    assert "the server does not accept the client certificate" in line
    assert "redis.tls_cert" in line


def _last_words(deployment: DeploymentFixture, server: Server, **changed: str) -> str:
    """Run a daemon until it ends with 78, and return the line that it leaves."""
    given = deployment.redis(**changed)
    settings = {f"redis__{name}": value for name, value in given.items()}
    variables = {"GALAXY_NOTIFY_REDIS__URL": given["url"]}
    with daemon_on(server, variables=variables, **settings) as daemon:
        assert daemon.ended() == 78
        told = daemon.log.read_text().splitlines()
    (line,) = [line for line in told if line.startswith("galaxy-notify: ")]
    return line


def test_tls__missing_file_is_named(deployment: DeploymentFixture, tmp_path: Path) -> None:
    """A file that is not there is a bad setting, named before anything is sent."""
    done = deployment.command(tls_key=str(tmp_path / "nothing")).run("status")
    assert done.exit_code == 78
    assert done.stderr.startswith("galaxy-notify: redis.tls_key: cannot read")


def test_tls__new_connections_read_the_files_again(
    deployment: DeploymentFixture, tmp_path: Path
) -> None:
    """A certificate is replaced without a restart; a wrong one is a fault until it is mended."""
    good, bad = deployment.authority.issue("next"), Authority(tmp_path, "foreign").issue("client")
    settings = settings_from({"redis": deployment.redis()})

    async def rotate() -> None:
        client = open_async(settings, connections=1, name="x")
        try:
            assert await client.hgetall("x") == {}
            deployment.client.replace_by(bad)
            assert await client.hgetall("x") == {}
            await client.connection_pool.disconnect()
            # The refusal may be lost where the connection ends before it is read.
            await until(lambda: _refused(client), "it is told")
            deployment.client.replace_by(good)
            assert await client.hgetall("x") == {}
        finally:
            await client.aclose()

    asyncio.run(rotate())


async def _refused(client: redis.asyncio.Redis) -> bool:
    with pytest.raises(RedisConnectionError) as error:
        await client.hgetall("x")
    fault = classify(error.value)
    return (fault.code, fault.remedy) == ("TLS", Remedy.CONFIGURE)


@ON_ONE
def test_tls__running_daemon_waits_for_a_good_certificate(
    deployment: DeploymentFixture, tmp_path: Path
) -> None:
    """A certificate that goes bad later is told, and ends nothing."""
    given = deployment.redis()
    settings = {f"redis__{name}": value for name, value in given.items()}
    variables = {"GALAXY_NOTIFY_REDIS__URL": given["url"]}
    bad = Authority(tmp_path, "foreign").issue("client")
    with daemon_on(deployment.server, variables=variables, **settings) as daemon:
        with Notifier(settings_from({"redis": given})) as notifier:
            notifier.accept(PLAIN)
        daemon.wait_for("batch settled")
        deployment.client.replace_by(bad)
        with deployment.server.client() as admin:
            wait_until(lambda: admin.execute_command("CLIENT", "KILL", "TYPE", "normal"), "cut")
        daemon.wait_for("redis unavailable")
        wait_until(lambda: _codes(daemon.lines("redis unavailable")) >= {"TLS"}, "it tells why")
        assert daemon.process.poll() is None


def _codes(lines: list[dict[str, str]]) -> set[str]:
    return {line["code"] for line in lines}
