"""The health of a shard: when a failed shard is tried again, and what restores it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from time import monotonic

import pytest
from redis import exceptions

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.publishing import health as health_module
from galaxy_notify.publishing.health import ShardHealth
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client import retries
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy, fault_of
from galaxy_notify.redis_state.keys import Keys
from tests.support.telemetry import Lines, json_logs
from tests.support.worker import publisher_state

REFUSED = exceptions.AuthenticationError("WRONGPASS invalid username-password pair")


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and return a function that reads them all."""
    with json_logs() as read:
        yield read


class _Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """Give the clock by which shards wait."""
    clock = _Clock()
    monkeypatch.setattr(health_module, "monotonic", clock)
    monkeypatch.setattr(retries, "monotonic", clock)
    return clock


@pytest.fixture
def health(lines: Lines) -> ShardHealth:
    """Make the health of a shard where all is well."""
    return _healths()[0]


def _healths(*nodes: Callable[[], str]) -> list[ShardHealth]:
    """Return the health of some shards of one process, each on its node."""
    publisher = publisher_state()
    return [
        ShardState(publisher, Keys("gn", number), node).health
        for number, node in enumerate(nodes or (str,))
    ]


def _away() -> RedisFault:
    return fault_of(exceptions.ConnectionError("refused"))


def test_health__of_configuration_ends_it_at_the_first_answer_only(
    health: ShardHealth, lines: Lines, clock: _Clock
) -> None:
    """A password refused at start is an error; refused later, it is waited for, half a minute."""
    with pytest.raises(ConfigurationError, match="WRONGPASS"):
        health.redis_failed(fault_of(REFUSED))
    health.passed(0)
    health.redis_failed(fault_of(REFUSED))
    assert health.reason == "redis: WRONGPASS"
    assert health.retry_at - clock.now == 30
    assert [line["code"] for line in lines()] == ["WRONGPASS"]


def test_health__rests_longer_and_longer(health: ShardHealth, clock: _Clock) -> None:
    """The first pause is short, for an outage may be a blink; the others grow to 5 s."""
    rests = []
    for _ in range(200):
        # Two slots hear of the same death.
        health.redis_failed(_away())
        health.redis_failed(_away())
        rests.append(health.retry_at - clock.now)
        clock.now = health.retry_at
    assert rests[0] <= 0.06
    # The difference of two times has lost the last digits.
    assert min(rests[1:]) > 0.999_999
    assert 4 < max(rests) <= 5.1
    health.passed(0)
    assert health.reason == ""
    health.redis_failed(_away())
    assert health.retry_at - clock.now <= 0.06


def test_health__of_the_stream_is_well_when_routes_move(health: ShardHealth, lines: Lines) -> None:
    """A pass that had nothing to do shows nothing about a stream that refused; one that moved does.

    Redis may go away and come back in between: each is logged at its own edges.
    """
    health.stream_refused("WRONGTYPE")
    health.passed(0)
    assert health.reason == "stream refused: WRONGTYPE"
    health.redis_failed(_away())
    assert health.reason == "redis: connection"
    health.passed(0)
    assert health.reason == "stream refused: WRONGTYPE"
    health.stream_refused("WRONGTYPE")
    health.passed(3)
    assert health.reason == ""
    assert [line["event"] for line in lines()] == [
        "stream writes refused",
        "redis unavailable",
        "redis available again",
        "stream writes accepted again",
    ]


def test_health__of_a_refusing_stream_rests_longer_and_longer(
    health: ShardHealth, clock: _Clock
) -> None:
    """The pauses grow from 50 ms to 5 s, drawn at random, and are short again after a success."""
    rests = []
    for _ in range(200):
        health.stream_refused("WRONGTYPE")
        rests.append(health.retry_at - clock.now)
    assert rests[0] <= 0.06
    assert 4 < max(rests) <= 5.1
    assert min(rests[20:]) >= 0.4
    health.passed(1)
    assert health.retry_at == 0.0
    health.stream_refused("WRONGTYPE")
    assert health.retry_at - clock.now <= 0.06


def test_health__of_many_shards_takes_turns(clock: _Clock) -> None:
    """However many shards a process serves, it tries once a second, no more and no less."""
    shards = _healths(*[str] * 20)
    for _ in range(3):
        for shard in shards:
            shard.redis_failed(_away())
    gaps = [b - a for a, b in pairwise(sorted(shard.retry_at for shard in shards))]
    assert all(1 - 1e-9 <= gap < 1.2 for gap in gaps)


def test_health__is_not_restored_by_a_pass_that_began_before(
    health: ShardHealth, lines: Lines
) -> None:
    """A slot that asked just before another one failed does not say that Redis is back."""
    began_at = monotonic()
    health.redis_failed(_away())
    health.passed(0, began_at)
    assert health.reason
    health.passed(0, monotonic())
    assert not health.reason
    assert [line["event"] for line in lines()] == ["redis unavailable", "redis available again"]


def test_health__of_a_shard_is_tried_by_one_slot_at_a_time(
    health: ShardHealth, clock: _Clock
) -> None:
    """A try that hangs is not joined by the other slots; its end decides how long they rest."""
    health.attempt()
    assert health.retry_at == 0.0
    health.redis_failed(_away())
    health.attempt()
    assert health.retry_at - clock.now > 4
    health.redis_failed(_away())
    assert health.retry_at - clock.now < 1
    health.attempt()
    health.passed(0)
    assert health.retry_at == 0.0


def test_health__of_one_shard_lets_all_try_at_once(clock: _Clock) -> None:
    """Nobody waits for its turn once Redis has answered; a shard that was well changes nothing."""
    first, second, well = _healths(str, str, str)
    for shard in (first, second):
        shard.redis_failed(_away())
    well.passed(1)
    assert second.retry_at > clock.now
    first.passed(0)
    assert second.retry_at == 0.0


def test_health__of_several_nodes_takes_turns_at_each(clock: _Clock) -> None:
    """Shards of one node do not wait for those of another, nor does its return help them."""
    shards = _healths("A".lower, "A".lower, "B".lower, "B".lower)
    for shard in shards:
        shard.redis_failed(_away())
    first, second, third, fourth = shards
    assert second.retry_at - first.retry_at >= 1
    assert third.retry_at - first.retry_at < 0.4
    first.passed(0)
    assert second.retry_at == 0.0
    assert fourth.retry_at > clock.now


def test_health__that_a_new_primary_restores_is_so_for_all_it_serves() -> None:
    """A shard that last missed the old one does not wait for its turn at that."""
    serves = {"first": "old", "second": "old", "third": "old"}
    shards = _healths(*(partial(serves.__getitem__, name) for name in serves))
    for number, shard in enumerate(shards):
        if number == 2:
            serves.update(dict.fromkeys(serves, "new"))
        shard.redis_failed(_away())
    shards[2].passed(0)
    assert [shard.retry_at for shard in shards] == [0.0] * 3


def test_health__of_replicas_is_restored_by_a_confirmed_write(
    health: ShardHealth, lines: Lines
) -> None:
    """A pass that wrote nothing does not say that replicas confirm again; nothing is repeated."""
    unconfirmed = RedisFault(Fault("unconfirmed", Remedy.RESOLVE, "0 of 1"))
    for _ in range(5):
        health.redis_failed(unconfirmed)
        health.passed(0)
    assert health.reason == "redis: unconfirmed"
    assert not health.redis_is_away, "the janitor resumed"
    health.passed(1)
    assert not health.reason
    assert [line["event"] for line in lines()] == ["redis unavailable", "redis available again"]


def test_health__that_needs_a_person_does_not_hold_others_up() -> None:
    """The long pause after a refused login is that of one shard."""
    refused, away = _healths(str, str)
    refused.passed(0)
    refused.redis_failed(fault_of(REFUSED))
    away.redis_failed(_away())
    assert away.retry_at < refused.retry_at - 20
