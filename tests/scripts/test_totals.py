"""The totals add up after any sequence of calls, and nothing is lost or published twice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import dead_rows, leases
from galaxy_notify.redis_state.accept_calls import intent_accept
from galaxy_notify.redis_state.settlement import Settlement
from tests.scripts.support.injection import refuse_nth
from tests.scripts.support.invariants import (
    assert_at_rest,
    assert_consistent,
    assert_counted,
    converge,
    routes_of,
)
from tests.scripts.support.outcomes import OUTCOMES, outcome
from tests.scripts.support.shard import KEEP, LIMITS, TTL, Shard, new, shard_on, split
from tests.support.servers import Server

_STEPS = 60
_CHANNELS = ("push", "email")
_SETTLING = OUTCOMES[:-1]


class Story:
    """A random sequence of what producers, workers and operators do on one shard."""

    def __init__(self, shard: Shard, seed: int) -> None:
        self.shard = shard
        self.random = Random(seed)
        self._claimed: list[tuple[str, str, list[str]]] = []
        self._sent: list[ScriptCall] = []
        self._numbers = 0

    def step(self) -> ScriptCall | None:
        """Return the next call, or None where this step only lets time pass."""
        steps: list[Callable[[], ScriptCall | None]] = [
            *(self._accept,) * 3,
            *(self._claim,) * 3,
            *(self._settle,) * 4,
            *(self._cancel, self._move, self._revive, self._purge, self._again, self._wait),
        ]
        call = self.random.choice(steps)()
        if call is not None:
            self._sent.append(call)
        return call

    def _accept(self) -> ScriptCall:
        self._numbers += 1
        users = range(self.random.randint(1, 4))
        routes = [f"{self.random.choice(_CHANNELS)}:u{user}" for user in users]
        due = self.shard.now + self.random.choice((0, 0, 0, 3_000))
        item = new(self._numbers, routes, due=due, born_cancelled=self.random.random() < 0.1)
        return intent_accept(self.shard.keys, [item])

    def _claim(self) -> ScriptCall:
        self._numbers += 1
        channel, token = (
            self.random.choice(_CHANNELS),
            f"w{self._numbers % 4}:0:{TTL}:{self._numbers}",
        )
        self._claimed.append((channel, token, []))
        alone = self.random.random() < 0.2
        now = self.shard.now
        return leases.route_claim(self.shard.keys, channel, token, LIMITS, alone=alone, now=now)

    def _settle(self) -> ScriptCall | None:
        """Settle a claim, early or far too late, as its worker read it."""
        if not self._claimed:
            return None
        place = self.random.randrange(len(self._claimed))
        channel, token, _ = self._claimed.pop(place)
        held = [m for m, lease in self.shard.leases(channel).items() if lease == token]
        settlement = Settlement()
        for member in held[: self.random.randint(1, 20)]:
            outcome(self.shard, self.random.choice(_SETTLING), member, settlement)
        return settlement.call(self.shard.keys, channel, token) if held else None

    def _cancel(self) -> ScriptCall | None:
        if not (waiting := self._in_schedule()):
            return None
        return self.shard.cancelling(self.random.choice(waiting))

    def _move(self) -> ScriptCall | None:
        if not (waiting := self._in_schedule()):
            return None
        due = self.shard.now + self.random.choice((-1, 1_000, TTL))
        return self.shard.rescheduling(self.random.choice(waiting), due=due)

    def _revive(self) -> ScriptCall | None:
        dead = self._dead()
        changes = [self.shard.dead_change(m, "replay") for m in dead[:3]]
        return dead_rows.route_replay(self.shard.keys, changes) if changes else None

    def _purge(self) -> ScriptCall | None:
        dead = self._dead()
        changes = [self.shard.dead_change(m, "purge") for m in dead[:1]]
        return dead_rows.route_purge(self.shard.keys, changes, KEEP) if changes else None

    def _again(self) -> ScriptCall | None:
        """Send an earlier call once more, as whoever lost its answer does."""
        return self.random.choice(self._sent) if self._sent else None

    def _wait(self) -> None:
        self.shard.now += self.random.choice((1, 1_000, TTL + 1))

    def _in_schedule(self) -> list[str]:
        channel = self.random.choice(_CHANNELS)
        found = routes_of(self.shard)
        return [member for member in self.shard.schedule(channel) if member in found]

    def _dead(self) -> list[str]:
        return list(self.shard.dead(self.random.choice(_CHANNELS)))


@pytest.mark.parametrize("seed", range(12))
def test_totals__add_up(seed: int, any_server: Server) -> None:
    """accepted = scheduled + dead + published + cancelled + expired + skipped + purged."""
    any_server.flush()
    with shard_on(any_server) as shard:
        story = Story(shard, seed)
        for _ in range(_STEPS):
            if call := story.step():
                shard.run(call)
        assert_consistent(shard)
        assert_counted(shard)
        converge(shard, rounds=12)
        assert_at_rest(shard)
        assert {split(m)[0] for m in shard.dead()} <= {split(m)[0] for m in routes_of(shard)}


@pytest.mark.parametrize("seed", range(12))
def test_story__with_refused_calls_loses_nothing(seed: int, any_server: Server) -> None:
    """A Redis call refused here and there costs no route, and doubles none."""
    any_server.flush()
    with shard_on(any_server) as shard:
        story = Story(shard, seed + 1000)
        for _ in range(_STEPS):
            if (call := story.step()) and story.random.random() < 0.3:
                refuse_nth(shard, call, story.random.randint(1, 12))
            elif call:
                shard.run(call)
            assert_consistent(shard)
        converge(shard, rounds=12)
        assert_at_rest(shard, exact=False)
