"""The claimer on the road of the script: what it publishes, and what it claims of the rest."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, cast

import pytest

from galaxy_notify.publishing.claimer import Claimer, ClaimResult
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import Policy, ShardState
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, ClaimLimits
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import configure_logs
from tests.support.telemetry import logging_restored
from tests.support.worker import publisher_state

TIMEOUT = RedisFault(Fault("timeout", Remedy.RETRY, "Timeout reading"))
IDLE = Published("idle", 1)
PAUSED = Published("paused", 1)
HELD = Published("held", 1, stream_length=200)


def routes(count: int, left: int = 0) -> Published:
    """Return the reply of a script that published *count* routes."""
    return Published("published", 1, None, 9, left, count, [("turn", count)], [(1, count)])


class _Store:
    """Answers publishes from a list and claims with as many members as it is asked for."""

    def __init__(self, *answers: Published | RedisFault, due: int = 1000) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.tokens: list[str] = []
        self.claim_fault: RedisFault | None = None
        self._answers, self._due = list(answers), due

    async def publish(self, channel: str, limits: ClaimLimits, _: object) -> Published:
        self.calls.append(("publish", channel, limits.members))
        answer = self._answers.pop(0) if self._answers else IDLE
        if isinstance(answer, RedisFault):
            raise answer
        return answer

    async def claim(
        self, channel: str, token: str, limits: ClaimLimits, *, alone: bool = False
    ) -> Claim:
        assert not alone
        self.calls.append(("claim", channel, limits.members))
        self.tokens.append(token)
        if fault := self.claim_fault:
            self.claim_fault = None
            raise fault
        members = [ClaimedMember(b"m", b"s")] * min(limits.members, self._due)
        return Claim("claimed" if members else "idle", token, 1, members=members)

    async def identify(self, *_: Any) -> None:
        pass

    async def progressed(self, *_: Any) -> None:
        pass


class _Counting(Telemetry):
    """Counts the routes of batches."""

    def __init__(self) -> None:
        self.published = 0

    def batch_settled(self, channel: str, counts: Any, lateness_s: Any) -> None:
        self.published += sum(counts.values())
        assert len(lateness_s) == sum(counts.values())


class _Shard:
    """A claimer with its state."""

    def __init__(self, store: _Store, **worker: Any) -> None:
        settings = settings_from({"worker": worker})
        self.state = ShardState(publisher_state(settings), Keys("gn", 0))
        self.telemetry = _Counting()
        reporter = Reporter(self.telemetry, self.state.keys, "host-1-abcd", 8)
        self.claimer = Claimer(cast(Store, store), self.state, reporter)

    def claim(self, slot: int = 0) -> ClaimResult:
        """Take what is due."""
        return asyncio.run(self.claimer.claim(slot))


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """Log from `info` on, as a worker does, into memory."""
    with logging_restored():
        stream = io.StringIO()
        configure_logs("info", "json", stream)
        yield stream


def test_publish__that_leaves_nothing_claims_nothing() -> None:
    """The routes are reported, and the next pass follows at once."""
    store = _Store(routes(128))
    shard = _Shard(store)
    shard.state.claim_again_in(60)
    assert shard.claim() == ClaimResult(None, "push", published=128)
    assert store.calls == [("publish", "push", 128)]
    assert shard.telemetry.published == 128
    assert shard.state.claim_at == 0
    assert shard.state.batches_settled == 1


@pytest.mark.parametrize("published", [0, 100])
def test_publish__has_what_it_leaves_claimed_in_the_same_pass(published: int) -> None:
    """With that many members as the limit: so it never blocks the head of the schedule."""
    store = _Store(routes(published, left=28))
    shard = _Shard(store)
    result = shard.claim()
    assert store.calls == [("publish", "push", 128), ("claim", "push", 28)]
    assert result.batch is not None
    assert len(result.batch.claim.members) == 28
    assert (result.channel, result.published) == ("push", published)
    assert shard.state.batches_settled == bool(published)


def test_publish__of_which_another_took_the_rest_goes_on() -> None:
    """Whatever it published is the result; without any, the next channel is asked."""
    store = _Store(routes(3, left=5), routes(0, left=5), routes(2), due=0)
    shard = _Shard(store, channels=["push", "bulk"])
    assert shard.claim() == ClaimResult(None, "push", published=3)
    assert shard.claim() == ClaimResult(None, "push", published=2)
    asked = [(name, channel) for name, channel, _ in store.calls]
    assert asked == [
        *(("publish", "push"), ("claim", "push"), ("publish", "bulk"), ("claim", "bulk")),
        ("publish", "push"),
    ]


def test_publish__without_a_reply_is_sent_again() -> None:
    """No lease may be held after it; a timeout halves the next call, and success doubles it."""
    store = _Store(TIMEOUT, routes(64), routes(64), IDLE)
    shard = _Shard(store)
    with pytest.raises(RedisFault):
        shard.claim()
    assert not shard.claimer.has_unanswered_claim(0)
    asyncio.run(shard.claimer.on_error(TIMEOUT))
    for _ in range(3):
        shard.claim()
    assert [members for _, _, members in store.calls] == [128, 64, 128, 128]
    assert shard.telemetry.published == 128


def test_publish__is_reported_where_the_claim_behind_it_fails() -> None:
    """The claim without reply comes first then, under its token and without another publish."""
    store = _Store(routes(3, left=5), routes(1))
    store.claim_fault = TIMEOUT
    shard = _Shard(store)
    with pytest.raises(RedisFault):
        shard.claim()
    assert shard.telemetry.published == 3
    assert shard.claimer.has_unanswered_claim(0)
    batch = shard.claim().batch
    assert batch is not None
    assert batch.claim.asked_again
    assert store.tokens[0] == store.tokens[1]
    assert [name for name, _, _ in store.calls] == ["publish", "claim", "claim"]


def test_publish__is_not_for_a_log_of_each_route() -> None:
    """At debug level each route has a line, so it takes a lease."""
    configure_logs("debug", "json", io.StringIO())
    store = _Store()
    assert _Shard(store).claim().published == 0
    assert store.calls == [("claim", "push", 128)]


@pytest.mark.parametrize(
    "settings",
    [{"worker": {"publish": "leased"}}, {"gateway": {"encoder": "json"}}],
    ids=["leased", "json"],
)
def test_publish__is_not_for_other_settings(settings: dict[str, Any]) -> None:
    """Leases only, or an encoder that is not the default one."""
    assert not Policy.from_settings(settings_from(settings), "w").by_script
    assert Policy.from_settings(settings_from({}), "w").by_script


def test_reload__changes_the_road() -> None:
    """From the next pass on, in both directions."""
    store = _Store(routes(1), routes(1), routes(1))
    shard = _Shard(store)
    for publish in ("script", "leased", "script"):
        settings = settings_from({"worker": {"publish": publish}})
        policy = Policy.from_settings(settings, "host-1-abcd")
        shard.state.publisher.reload(settings, policy)
        shard.claim()
    assert [name for name, _, _ in store.calls] == ["publish", "claim", "publish"]


def _firsts(shard: _Shard, store: _Store, passes: int) -> list[str]:
    found = []
    for _ in range(passes):
        store.calls.clear()
        shard.claim()
        found.append(store.calls[0][1])
    return found


def test_weights__order_the_channels() -> None:
    """While both have due routes, four of five batches are those of the heavier one."""
    store = _Store(*[routes(1)] * 10)
    shard = _Shard(store, channels=["push", "bulk"], weights=["push=4"])
    assert _firsts(shard, store, 10) == ["push", "push", "bulk", "push", "push"] * 2


@pytest.mark.parametrize("empty", [IDLE, PAUSED, HELD], ids=["idle", "paused", "held"])
def test_weights__are_given_away_by_a_channel_without_work(empty: Published) -> None:
    """The other channel gets the batch in the same pass."""
    store = _Store(empty, routes(7))
    shard = _Shard(store, channels=["push", "bulk"], weights=["push=4"])
    assert shard.claim() == ClaimResult(None, "bulk", published=7)


def _rest(answers: Iterable[Published]) -> tuple[float, bool]:
    """Return for how many seconds a claimer rests after these answers, and if it can be woken."""
    shard = _Shard(_Store(*answers), channels=["push", "bulk"])
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
    shard = _Shard(_Store(HELD, PAUSED, HELD, routes(1)))
    for _ in range(4):
        shard.claim()
    events = [json.loads(line)["event"] for line in logged.getvalue().splitlines()]
    held = ["claiming suspended", "claiming resumed"]
    assert [event for event in events if event in held] == held
