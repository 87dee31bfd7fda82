"""Attempts are recorded together; what Redis does not take is lost and said, and stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from galaxy_notify.channels.attempt_recorder import AttemptRecorder
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.attempts import EndpointAttempt, attempts_flow
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings import settings_from
from tests.support.command import NOWHERE
from tests.support.servers import Server
from tests.support.telemetry import json_logs

SPACE = KeySpace("gn", SharedSettings(shards=3))
LOST = "attempts not recorded"


def attempt(number: int = 1, outcome: str = "transient") -> EndpointAttempt:
    """Return an attempt."""
    return EndpointAttempt(number, f"{number}/hooks:u1", "chat", 1, outcome)


def played(url: str, scenario: Callable[[AttemptRecorder], Awaitable[None]]) -> list[Any]:
    """Run a scenario with a recorder, close it, and return what was logged."""

    async def run() -> None:
        client = open_async(settings_from({"redis": {"url": url}}), connections=1, name="x")
        recorder = AttemptRecorder("hooks", client, SPACE)
        try:
            await scenario(recorder)
            await recorder.close()
        finally:
            await client.aclose()

    with json_logs("info") as lines:
        asyncio.run(run())
        return [line for line in lines() if "attempts" in line["event"]]


def test_attempts__of_all_shards_are_recorded_at_the_close(server: Server) -> None:
    """Many of them, for users of several shards, in the order in which they were added."""
    users = [f"u{number}" for number in range(200)]

    async def scenario(recorder: AttemptRecorder) -> None:
        for user in users:
            recorder.add(user, "hooks/a", attempt(1))
            recorder.add(user, "hooks/a", attempt(2))

    assert played(server.url, scenario) == []
    with server.client() as client:
        for user in users:
            flow = attempts_flow(SPACE.keys_of_user(user), user, "hooks/a")
            assert [one.at_ms for one in run_flow_sync(client, flow)] == [2, 1]
    assert len({SPACE.keys_of_user(user) for user in users}) == 3


def test_outage__is_said_once() -> None:
    """Nothing is raised, and the end is not held up."""

    async def scenario(recorder: AttemptRecorder) -> None:
        for number in range(10):
            recorder.add("u1", "hooks/a", attempt(number))

    (line,) = played(NOWHERE, scenario)
    assert (line["event"], line["channel"], line["failures"]) == (LOST, "hooks", 1)


def test_attempts__that_wait_are_bounded(server: Server) -> None:
    """The first ones are kept: without a turn of the loop none can be written."""

    async def scenario(recorder: AttemptRecorder) -> None:
        for number in range(2000):
            recorder.add(f"u{number}", "hooks/a", attempt(number))

    lines = played(server.url, scenario)
    assert [line["event"] for line in lines] == [LOST, "attempts recorded again"]
    assert lines[0]["code"] == "full"
    assert lines[1]["failures"] == 2000 - 1024
    with server.client() as client:
        assert len(client.keys("*:attempts:*")) == 1024


def test_refused_attempt__stops_no_neighbour(server: Server) -> None:
    """A key of another type is one endpoint's."""
    keys = SPACE.keys_of_user("u1")

    async def scenario(recorder: AttemptRecorder) -> None:
        recorder.add("u1", "hooks/a", attempt())
        recorder.add("u1", "hooks/b", attempt())

    with server.client() as client:
        client.set(keys.attempts("u1", "hooks/a"), "foreign")
        (line,) = played(server.url, scenario)
        assert (line["event"], line["code"]) == (LOST, "refused")
        assert len(run_flow_sync(client, attempts_flow(keys, "u1", "hooks/b"))) == 1


def test_nothing__to_record_asks_nothing() -> None:
    """A channel that sends nothing needs no Redis for this."""

    async def scenario(recorder: AttemptRecorder) -> None:
        assert not recorder.seemed_worn("u1", "hooks/a")

    assert played(NOWHERE, scenario) == []
