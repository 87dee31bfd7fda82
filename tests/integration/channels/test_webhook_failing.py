"""An endpoint that did nothing but fail for five days wants nothing any more."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.attempts import (
    EndpointAttempt,
    RecordedAttempt,
    attempt_record,
    attempts_flow,
)
from tests.support.receiver import answer_of
from tests.support.wait import until
from tests.support.webhook_world import EVENT, WebhookWorld

DAY_MS = 86_400_000


def test_endpoint__that_fails_for_five_days_is_gone(play: Callable[..., None]) -> None:
    """Where it is enabled again, what was before does not count."""

    async def scenario(world: WebhookWorld) -> None:
        _fails(world, days=5)
        made = await _until_gone(world, world.contact())
        assert (made.reason, made.status) == ("http_status", 500)
        assert made.detail == "nothing but failures for 5 days; the last one: it answered 500"
        enabled = world.contact(enabled_at_ms=world.now_ms)
        assert (await world.send(enabled)).outcome == "transient"
        outcomes = {one.outcome for one in (await world.attempts())[:2]}
        assert outcomes == {"gone", "transient"}

    play(scenario, answer_of(500))


def test_endpoint__that_another_process_reached_is_not_gone(play: Callable[..., None]) -> None:
    """What this process remembers is asked again before an endpoint is given up."""

    async def scenario(world: WebhookWorld) -> None:
        _fails(world, days=5)
        await _until_gone(world, world.contact())
        _record(world, EndpointAttempt(world.now_ms, "n/hooks:u1", "chat", 1, "delivered"))
        assert (await world.send(world.contact())).outcome == "transient"

    play(scenario, answer_of(500))


def test_endpoint__that_fails_for_less_is_kept(play: Callable[..., None]) -> None:
    """One ms less than five days."""

    async def scenario(world: WebhookWorld) -> None:
        _fails(world, days=5)
        world.now_ms -= 1
        for attempt in range(3):
            assert (await world.send(world.contact(), attempt=attempt)).outcome == "transient"
            await _until_recorded(world, attempt)

    play(scenario, answer_of(500))


async def _until_gone(world: WebhookWorld, contact: Contact) -> Attempt:
    """Send until this process has noticed, by what it recorded, that the endpoint only fails."""
    made: list[Attempt] = []

    async def is_gone() -> bool:
        made.append(await world.send(contact, attempt=len(made) + 1))
        return made[-1].outcome == "gone"

    await until(is_gone, "the endpoint is given up")
    return made[-1]


async def _until_recorded(world: WebhookWorld, attempt: int) -> None:
    def is_there() -> bool:
        flow = attempts_flow(world.deployment.keys, "u1", "hooks/a", 1)
        (last,) = run_flow_sync(world.deployment.client, flow)
        return last.event_id == EVENT.event_id and last.attempt == attempt

    await until(is_there, "the attempt is recorded")


def _fails(world: WebhookWorld, days: int) -> None:
    """Record a failure on each of so many days, and go on to the end of the last one."""
    for day in range(days):
        at_ms = world.now_ms + day * DAY_MS
        _record(world, EndpointAttempt(at_ms, f"{day}/hooks:u1", "chat", 1, "transient"))
    world.now_ms += days * DAY_MS


def _record(world: WebhookWorld, attempt: EndpointAttempt) -> None:
    call = attempt_record(world.deployment.keys, [RecordedAttempt("u1", "hooks/a", attempt)])
    run_sync(world.deployment.client, call)
