"""The claimer on the road of the script: whose turn it is, and how long it rests."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from time import monotonic

import pytest

from galaxy_notify.publishing.claimer import ClaimResult
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.telemetry.logs import configure_logs
from tests.support.claiming import HELD, IDLE, PAUSED, ClaimingShard, ScriptedStore, routes
from tests.support.telemetry import logging_restored


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """Log from `info` on, as a worker does, into memory."""
    with logging_restored():
        stream = io.StringIO()
        configure_logs("info", "json", stream)
        yield stream


def _firsts(shard: ClaimingShard, store: ScriptedStore, passes: int) -> list[str]:
    found = []
    for _ in range(passes):
        store.calls.clear()
        shard.claim()
        found.append(store.calls[0][1])
    return found


def test_weights__order_the_channels() -> None:
    """While both have due routes, four of five batches are those of the heavier one."""
    store = ScriptedStore(*[routes(1)] * 10)
    shard = ClaimingShard(store, channels=["push", "bulk"], weights=["push=4"])
    assert _firsts(shard, store, 10) == ["push", "push", "bulk", "push", "push"] * 2


@pytest.mark.parametrize("empty", [IDLE, PAUSED, HELD], ids=["idle", "paused", "held"])
def test_weights__are_given_away_by_a_channel_without_work(empty: Published) -> None:
    """The other channel gets the batch in the same pass."""
    store = ScriptedStore(empty, routes(7))
    shard = ClaimingShard(store, channels=["push", "bulk"], weights=["push=4"])
    assert shard.claim() == ClaimResult(None, "bulk", published=7)


def _rest(answers: Iterable[Published]) -> tuple[float, bool]:
    """Return for how many seconds a claimer rests after these answers, and if it can be woken."""
    shard = ClaimingShard(ScriptedStore(*answers), channels=["push", "bulk"])
    before = monotonic()
    assert shard.claim() == ClaimResult()
    return round(shard.state.claim_at - before, 1), shard.claimer.can_be_woken


@pytest.mark.parametrize(
    ("answers", "rest"),
    [
        ((IDLE, IDLE), (1.0, True)),
        ((IDLE, Published("idle", 1, 301)), (0.3, True)),
        ((Published("idle", 500, 301), IDLE), (0.0, True)),
        ((PAUSED, IDLE), (1.0, True)),
        ((PAUSED, HELD), (1.0, False)),
    ],
)
def test_rest__is_until_the_next_is_due(
    answers: tuple[Published, ...], rest: tuple[float, bool]
) -> None:
    """Or the poll interval; an accept wakes it only where something may be published."""
    seconds, woken = _rest(answers)
    assert woken == rest[1]
    # A busy machine may take a while between the two looks at the clock.
    assert rest[0] <= seconds


def test_hold__is_logged_when_it_begins_and_ends(logged: io.StringIO) -> None:
    """As for a claim: the script answers the same words."""
    shard = ClaimingShard(ScriptedStore(HELD, PAUSED, HELD, routes(1)))
    for _ in range(4):
        shard.claim()
    events = [json.loads(line)["event"] for line in logged.getvalue().splitlines()]
    held = ["claiming suspended", "claiming resumed"]
    assert [event for event in events if event in held] == held
