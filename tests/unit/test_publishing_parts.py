"""The small parts of a worker: what an outage does, and who claims."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from time import monotonic
from typing import cast
from unittest.mock import patch

import pytest
from redis import exceptions

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.publishing.claimer import Claimer
from galaxy_notify.publishing.outage import Outage, Turns
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy, fault_of
from galaxy_notify.redis_state.calls import Claim, ClaimLimits
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.store import Store
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from tests.support.telemetry import Lines, json_logs

REFUSED = exceptions.AuthenticationError("WRONGPASS invalid username-password pair")


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and return a function that reads them all."""
    with json_logs() as read:
        yield read


@pytest.fixture
def outage(lines: Lines) -> Outage:
    """Make the outage of a shard where all is well."""
    return Outage(get_logger("publisher"), Telemetry.off())


def test_outage__of_configuration_ends_it_at_the_first_answer_only(
    outage: Outage, lines: Lines
) -> None:
    """A password refused at start is an error; refused later, it is waited for, half a minute."""
    with pytest.raises(ConfigurationError, match="WRONGPASS"):
        outage.redis(fault_of(REFUSED))
    outage.over(0)
    with patch("galaxy_notify.publishing.outage.monotonic", lambda: _NOW):
        outage.redis(fault_of(REFUSED))
    assert outage.reason == "redis: WRONGPASS"
    assert outage.rest_until - _NOW == 30
    assert [line["code"] for line in lines()] == ["WRONGPASS"]


def test_outage__rests_longer_and_longer(outage: Outage) -> None:
    """The pauses grow from 50 ms to 5 s, drawn at random, and start anew after a pass."""
    rests = [_rest(outage) for _ in range(200)]
    assert max(rests[:1]) <= 0.06
    assert 4 < max(rests) <= 5.1
    assert min(rests[20:]) >= 0.4
    outage.over(0)
    assert outage.reason == ""
    assert _rest(outage) <= 0.06


def test_outage__of_the_stream_ends_when_routes_move(outage: Outage, lines: Lines) -> None:
    """A pass that had nothing to do says nothing about a stream that refused; one that moved does.

    Redis may go away and come back in between: each is told at its own edges.
    """
    outage.stream("WRONGTYPE")
    outage.over(0)
    assert outage.reason == "stream refused: WRONGTYPE"
    outage.redis(_away())
    assert outage.reason == "redis: connection"
    outage.over(0)
    assert outage.reason == "stream refused: WRONGTYPE"
    outage.stream("WRONGTYPE")
    outage.over(3)
    assert not outage.is_on
    assert [line["event"] for line in lines()] == [
        "stream refused",
        "redis unavailable",
        "redis available again",
        "stream accepted again",
    ]


_NOW = 50.0


@pytest.fixture
def still() -> Iterator[float]:
    """Let the clock of outages stand still, and give what it shows."""
    with patch("galaxy_notify.publishing.outage.monotonic", lambda: _NOW):
        yield _NOW


def _away() -> RedisFault:
    return fault_of(exceptions.ConnectionError("refused"))


def _rest(outage: Outage) -> float:
    with patch("galaxy_notify.publishing.outage.monotonic", lambda: _NOW):
        outage.redis(_away())
    return outage.rest_until - _NOW


def test_outage__of_many_shards_takes_turns(still: float) -> None:
    """However many shards a process serves, it tries once a second, no more and no less."""
    turns = Turns()
    shards = [Outage(get_logger("publisher"), Telemetry.off(), turns) for _ in range(20)]
    for _ in range(3):
        for shard in shards:
            shard.redis(fault_of(exceptions.ConnectionError("refused")))
    tries = sorted(shard.rest_until for shard in shards)
    # The first pause is so short that its turn may have come again meanwhile.
    gaps = [later - sooner for sooner, later in pairwise(tries)]
    assert all(1 - 1e-9 <= gap < 1.2 for gap in gaps)


def test_outage__is_not_ended_by_a_pass_that_began_before_it(outage: Outage, lines: Lines) -> None:
    """A slot that asked just before another one failed does not say that Redis is back."""
    began_at = monotonic()
    outage.redis(_away())
    outage.over(0, began_at)
    assert outage.reason
    outage.over(0, monotonic())
    assert not outage.is_on
    assert [line["event"] for line in lines()] == ["redis unavailable", "redis available again"]


def test_outage__has_one_try_a_second_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first try comes at once, for an outage may be a blink; the others come a second apart."""
    now = 1000.0
    monkeypatch.setattr("galaxy_notify.publishing.outage.monotonic", lambda: now)
    shard, tries = Outage(get_logger("x"), Telemetry.off(), Turns()), []
    for _ in range(20):
        # Two slots hear of the same death.
        shard.redis(_away())
        shard.redis(_away())
        now = shard.rest_until
        tries.append(now)
    assert tries[0] < 1000.2
    assert all(later - sooner >= 1 for sooner, later in pairwise(tries))


def test_outage__of_a_shard_is_tried_by_one_slot_at_a_time(outage: Outage, still: float) -> None:
    """A try that hangs is not joined by the other slots; its end decides how long they rest."""
    outage.trying()
    assert outage.rest_until == 0.0
    outage.redis(_away())
    outage.trying()
    assert outage.rest_until - still > 4
    outage.redis(_away())
    assert outage.rest_until - still < 1
    outage.trying()
    outage.over(0)
    assert outage.rest_until == 0.0


def test_outage__that_ended_for_one_shard_is_tried_by_all_at_once(still: float) -> None:
    """Nobody waits for its turn once Redis has answered; a shard that was well changes nothing."""
    turns = Turns()
    first, second, well = (Outage(get_logger("x"), Telemetry.off(), turns) for _ in range(3))
    for shard in (first, second):
        shard.redis(fault_of(exceptions.ConnectionError("refused")))
    well.over(1)
    assert second.rest_until > still
    first.over(0)
    assert second.rest_until == 0.0


def test_outage__of_several_nodes_takes_turns_at_each(still: float) -> None:
    """Shards of one node do not wait for those of another, nor does its return help them."""
    turns = Turns()
    shards = [
        Outage(get_logger("x"), Telemetry.off(), turns, name.lower) for name in ("A", "A", "B", "B")
    ]
    for shard in shards:
        shard.redis(fault_of(exceptions.ConnectionError("refused")))
    first, second, third, fourth = shards
    assert second.rest_until - first.rest_until >= 1
    assert third.rest_until - first.rest_until < 0.4
    first.over(0)
    assert second.rest_until == 0.0
    assert fourth.rest_until > still


def test_outage__that_a_new_primary_ends_is_over_for_all_it_serves() -> None:
    """A shard that last missed the old one does not wait for its turn at that."""
    turns, serves = Turns(), {"first": "old", "second": "old", "third": "old"}
    shards = [
        Outage(get_logger("x"), Telemetry.off(), turns, partial(serves.__getitem__, name))
        for name in serves
    ]
    for number, shard in enumerate(shards):
        if number == 2:
            serves.update(dict.fromkeys(serves, "new"))
        shard.redis(_away())
    shards[2].over(0)
    assert [shard.rest_until for shard in shards] == [0.0] * 3


def test_outage__of_replicas_ends_with_a_confirmed_write(outage: Outage, lines: Lines) -> None:
    """A pass that wrote nothing does not say that replicas confirm again; nothing is repeated."""
    unconfirmed = RedisFault(Fault("unconfirmed", Remedy.RESOLVE, "0 of 1"))
    for _ in range(5):
        outage.redis(unconfirmed)
        outage.over(0)
    assert outage.reason == "redis: unconfirmed"
    assert not outage.redis_is_away, "the janitor goes on"
    outage.over(1)
    assert not outage.is_on
    assert [line["event"] for line in lines()] == ["redis unavailable", "redis available again"]


def test_outage__that_needs_a_person_does_not_hold_others_up() -> None:
    """The long pause after a refused login is that of one shard."""
    turns = Turns()
    refused, away = (Outage(get_logger("x"), Telemetry.off(), turns) for _ in range(2))
    refused.over(0)
    refused.redis(fault_of(REFUSED))
    away.redis(fault_of(exceptions.ConnectionError("refused")))
    assert away.rest_until < refused.rest_until - 20


class _EmptyStore:
    """Stands in for a store in which nothing is due; notes which slot asked for which channel."""

    def __init__(self) -> None:
        self.asked: dict[int, list[str]] = {}

    async def claim(self, channel: str, token: str, *_: object, alone: bool) -> Claim:
        assert not alone
        self.asked.setdefault(int(token.split(":")[1]), []).append(channel)
        await asyncio.sleep(0)
        return Claim("idle", token, 0)


def test_claimer__asks_for_every_channel_whoever_claims_beside_it() -> None:
    """Slots that claim at the same time each visit all channels, so that none waits for a poll."""
    store, channels = _EmptyStore(), ["email", "push", "sms"]
    reporter = Reporter(Telemetry.off(), Keys("gn", 0), "host-1-abcd", 8)
    limits = ClaimLimits(1, 30_000, 1, 1, 0)
    claimer = Claimer(cast("Store", store), reporter, channels, limits, 1000)

    async def main() -> None:
        await asyncio.gather(*(claimer.claim(slot) for slot in range(4)))

    asyncio.run(main())
    assert [sorted(store.asked[slot]) for slot in range(4)] == [channels] * 4
    assert {asked[0] for asked in store.asked.values()} == set(channels)
