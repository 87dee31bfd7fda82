"""A daemon with a channel of kind ``apprise``: retries, a service that hangs, a stop, its log."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.receiver import Receiver, answer_of
from tests.support.servers import Server
from tests.support.services import SECRET, hanging, service_url, taken
from tests.support.wait import until

OK = answer_of(200)
FAILED = answer_of(500, body=SECRET)
DeployOps = Callable[..., DeploymentFixture]


@pytest.fixture
def deploy_ops(server: Server, deploy: Deploy) -> DeployOps:
    """Give a deployment with the channel `ops` for these URLs."""

    def make(*urls: str, **fields: Any) -> DeploymentFixture:
        channel = {"kind": "apprise", "urls": urls, "schedule_ms": [1] * 9, **fields}
        return deploy(server, worker={"channels": ["push", "ops"]}, channels={"ops": channel})

    return make


def _settings(*urls: str, **fields: Any) -> dict[str, Any]:
    channel = {"kind": "apprise", "urls": urls, "schedule_ms": [1] * 9, **fields}
    given = {f"channels.ops__{name}": value for name, value in channel.items()}
    return {"worker__channels": ["push", "ops"], "log__level": "debug", **given}


def _notify(deployment: DeploymentFixture, *users: str) -> list[str]:
    made = deployment.notify(*users, channels=["ops"], title="Long", severity="critical")
    return [member_of(made, user, "ops") for user in users]


async def _until_status(deployment: DeploymentFixture, member: str, status: str) -> None:
    await until(lambda: str(deployment.route(member).status) == status, f"it is {status}")


def _assert_no_secret(server: Server, daemon: DaemonProcess) -> None:
    """Look through the log, and through all that Redis holds."""
    assert SECRET not in daemon.log.read_text()
    with server.client() as client:
        held = [client.dump(key) for key in client.keys("*")]
    assert held
    assert not any(SECRET.encode() in (one or b"") for one in held)


def test_retry__goes_to_the_urls_that_are_not_done(server: Server, deploy_ops: DeployOps) -> None:
    """Three attempts at the one that fails twice; the two others have it once."""
    steady, flaky = Receiver(OK), Receiver(FAILED, FAILED, OK)

    async def scenario() -> None:
        async with steady.listening() as first, flaky.listening() as second:
            urls = [service_url(first), service_url(second), service_url(first, "/third")]
            deployment = deploy_ops(*urls)
            (member,) = _notify(deployment, "u1")
            with daemon_on(server, **_settings(*urls)) as daemon:
                await _until_status(deployment, member, "delivered")
                await until(lambda: len(daemon.lines("delivery failed")) == 2, "both are logged")
                failed = daemon.lines("delivery failed")
                _assert_no_secret(server, daemon)
            assert {one["reason"] for one in failed} == {"unconfirmed"}
            assert {one["detail"] for one in failed} == {
                "urls[1]: it did not take the notification"
            }
            assert deployment.route(member).attempts == 2

    asyncio.run(scenario())
    assert len(flaky.requests) == 3
    wanted = {"title": "", "message": "Long", "type": "failure"}
    assert taken(steady) == [wanted] * 2


def test_retry__by_the_next_daemon_knows_what_is_done(
    server: Server, deploy_ops: DeployOps
) -> None:
    """The ids of URLs are the same in each process, and in any order of the settings."""
    steady, flaky = Receiver(OK), Receiver(FAILED, OK)

    async def scenario() -> None:
        async with steady.listening() as first, flaky.listening() as second:
            urls = [service_url(first), service_url(second)]
            fields = {"schedule_ms": [86_400_000]}
            deployment = deploy_ops(*urls, **fields)
            (member,) = _notify(deployment, "u1")
            with daemon_on(server, **_settings(*urls, **fields)) as daemon:
                await _until_status(deployment, member, "failed")
                daemon.signal(signal.SIGTERM)
                assert await asyncio.to_thread(daemon.ended) == 0
                deployment.notifier.reschedule(member.partition("/")[0], deployment.now())
                daemon.write_config(**_settings(*urls[::-1], **fields))
                daemon.start()
                await _until_status(deployment, member, "delivered")

    asyncio.run(scenario())
    assert (len(steady.requests), len(flaky.requests)) == (1, 2)


def test_hanging__service_costs_the_others_and_the_stop_nothing(
    server: Server, deploy_ops: DeployOps
) -> None:
    """Its attempts time out and its routes wait; each user is told by the other URL, once.

    The daemon ends beside the threads that hang.
    """
    steady, users = Receiver(OK), [f"u{number}" for number in range(12)]

    async def scenario(silent: int) -> None:
        async with steady.listening() as port:
            urls = [service_url(silent, "?rto=6000"), service_url(port)]
            fields = {"timeout_ms": 1000, "per_host": 2, "lease_ttl_ms": 60_000}
            deployment = deploy_ops(*urls, **fields)
            _notify(deployment, *users)
            with daemon_on(server, **_settings(*urls, **fields)) as daemon:
                await until(lambda: len(steady.requests) >= len(users), "the other URL is notified")
                await until(lambda: len(_timed_out(daemon)) >= 2, "its threads hang")
                daemon.signal(signal.SIGTERM)
                assert await asyncio.to_thread(daemon.ended) == 0
                assert daemon.lines("drain timed out") == []
                _assert_no_secret(server, daemon)
                # The two threads that it may have: no attempt was made for any other route.
                assert len(_timed_out(daemon)) == 2
            routes = deployment.routes().values()
            assert {str(route.status) for route in routes} <= {"failed", "pending"}
            assert sum(route.attempts for route in routes) == 2
            assert all(len(route.done) == 1 for route in routes)

    with hanging() as silent:
        asyncio.run(scenario(silent))
    assert len(steady.requests) == len(users)


def _timed_out(daemon: DaemonProcess) -> list[dict[str, Any]]:
    lines = daemon.lines("delivery failed")
    assert all(line["detail"] == "urls[0]: no answer in time" for line in lines)
    return lines


def test_start__refuses_urls_by_their_places(server: Server, deploy_ops: DeployOps) -> None:
    """Exit code 78, and what is wrong; the URL is not shown."""
    deploy_ops(service_url(1))
    with daemon_on(server, **_settings(service_url(1), f"nope://{SECRET}")) as daemon:
        assert daemon.ended() == 78
        text = daemon.log.read_text()
    assert "channels.ops.urls[1]: not the URL of a service that Apprise can notify" in text
    assert SECRET not in text


def test_dead_letter__names_the_place_and_not_the_url(
    server: Server, deploy_ops: DeployOps
) -> None:
    """Sent at most once, it is one at its first failure: the service may have it."""
    flaky = Receiver(FAILED)

    async def scenario() -> None:
        async with flaky.listening() as port:
            fields = {"delivery": "at_most_once"}
            deployment = deploy_ops(service_url(port), **fields)
            (member,) = _notify(deployment, "u1")
            with daemon_on(server, **_settings(service_url(port), **fields)) as daemon:
                await _until_status(deployment, member, "dead_letter")
                _assert_no_secret(server, daemon)
            (line,) = deployment.route(member).history[-1:]
            assert (line.failure_class, line.message) == (
                "delivery_unknown",
                "urls[0]: it did not take the notification",
            )

    asyncio.run(scenario())
    assert len(flaky.requests) == 1
