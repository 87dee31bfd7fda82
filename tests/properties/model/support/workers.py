"""The workers of the machine: they claim, settle, crash, and come back too late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

import redis
from hypothesis import strategies as st
from hypothesis.stateful import rule

from galaxy_notify.model.route import decode_route
from galaxy_notify.redis_client.scripts import Script
from galaxy_notify.redis_state import calls, leases
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, ClaimLimits, Correction
from galaxy_notify.redis_state.settlement import Settlement, read_settled
from tests.properties.model.support.expected import CHANNELS, SUSPECT
from tests.properties.model.support.machine import Operators, ShardMachine
from tests.properties.model.support.observed import Observed
from tests.properties.model.support.publishing import Publishing
from tests.properties.model.support.rescheduling import Rescheduling
from tests.properties.model.support.things import Outcome
from tests.properties.model.support.worker import Hand, correction
from tests.scripts.support.shard import TTL

_WORDS = ("publish", "publish", "retry", "bury", "bury", "expire", "release")
_DELAYS = (0, 400, 5_000)


#: What happens, each as often as it is named.
_USUAL = (
    *("accept",) * 5,
    *("claim",) * 8,
    *("settle",) * 8,
    *("publish",) * 4,
    *("move_dead", "time_passes") * 3,
    *("cancel", "reschedule", "leave_behind", "claim_again", "settle_again", "misplace", "heal")
    * 2,
    *("publish_after_settling", "claim_somewhere", "crash", "pause_or_resume", "clock_set_back"),
    *("trim", "vanish", "cancel_stale"),
)


class Workers(Rescheduling, Publishing, Operators):
    """Everybody who has to do with a shard."""

    @rule(action=st.sampled_from(_USUAL), random=st.randoms(use_true_random=False))
    def somebody(self, action: str, random: Random) -> None:
        """Producers, workers, operators, the janitor, the clock: one of them does something."""
        getattr(self, action)(random)

    def __init__(self) -> None:
        super().__init__()
        self.hands: list[Hand] = []
        self.sent: list[tuple[Hand, Settlement, list[Outcome]]] = []
        self._claims = 0

    def claim(self, random: Random) -> None:
        """What is due first is taken first, and by nobody else until the lease lapses."""
        channel = random.choice(self.busy or list(CHANNELS))
        model, now = self.model, self.now
        suspects = [m for m in model.due(channel, now) if model.routes[m].left_behind >= SUSPECT]
        alone = random.random() < (0.5 if suspects else 0.1)
        self._claim(channel, self._token(), random.randint(1, 4), alone=alone)

    def claim_somewhere(self, random: Random) -> None:
        """Nothing may be due, or a channel paused, or the stream too long."""
        hold = random.choice((0, 1, 3))
        self._claim(
            random.choice(CHANNELS), self._token(), 4, alone=random.random() < 0.3, hold=hold
        )

    def leave_behind(self, random: Random) -> None:
        """Workers die with what they hold, or hang until their leases have lapsed."""
        channel, hangs = random.choice(self.busy or list(CHANNELS)), random.random() < 0.5
        for _ in range(random.randint(1, 3)):
            held = list(self.hands)
            self._claim(channel, self._token(), 4, alone=False)
            self.pass_time(TTL)
            self.hands = self.hands if hangs else held

    @property
    def busy(self) -> list[str]:
        """Return the channels in which something is due."""
        return [c for c in CHANNELS if self.model.due(c, self.now)]

    def claim_again(self, random: Random) -> None:
        """A claim whose answer was lost is asked again: what it gave, and no more than asked."""
        settled = [hand.token for hand, *_ in self.sent]
        unsettled = [hand for hand in self.hands if hand.token not in settled]
        if unsettled:
            hand = random.choice(unsettled)
            self.hands.remove(hand)
            self._claim(hand.channel, hand.token, random.randint(1, 4), alone=False)

    def settle(self, random: Random) -> None:
        """Each member ends as its worker says, if it is still the worker's."""
        if self.hands:
            hand = random.choice(self.hands[-4:])
            self._settle_some(hand, hand.members[: random.choice((1, 4, 4))], random)

    def _settle_some(self, hand: Hand, members: list[ClaimedMember], random: Random) -> None:
        members = [m for m in members if correction(m, hand.claim.now_ms) is None]
        if not members:
            return
        delay, mixed = random.choice(_DELAYS), random.random() < 0.6
        words = random.choices(_WORDS, k=len(members)) if mixed else ["publish"] * len(members)
        pairs = [(m, hand.outcome(m, w, delay)) for m, w in zip(members, words, strict=True)]
        pairs.sort(key=lambda pair: pair[1].word != "publish")
        settlement, outcomes = hand.settlement(pairs), [outcome for _, outcome in pairs]
        assert settlement.members == [claimed.member for claimed, _ in pairs]
        told = self._settle(hand, settlement, outcomes)
        self.sent.append((hand, settlement, outcomes))
        done = [m for (m, _), word in zip(pairs, told, strict=True) if word != "expired"]
        hand.members = [m for m in hand.members if m not in done]

    def settle_again(self, random: Random) -> None:
        """A settlement that is sent again, whenever it comes, does nothing twice."""
        if self.sent:
            self._settle(*random.choice(self.sent[-6:]))

    def heal(self, random: Random) -> None:
        """What stands at a wrong place goes where its state says."""
        hands = [hand for hand in self.hands if _wrong(hand)]
        if not hands:
            return
        hand = random.choice(hands)
        wrong = _wrong(hand)
        told = [self.model.heal(hand.token, one.member.decode()) for one in wrong]
        self.model.healed(hand.token)
        call = leases.route_reposition(self.shard.keys, hand.channel, hand.token, wrong)
        assert calls.words(self.shard.run(call)) == told
        names = {one.member for one in wrong}
        hand.members = [m for m in hand.members if m.member not in names]

    def crash(self, random: Random) -> None:
        """A worker forgets what it holds."""
        if self.hands:
            self.hands.remove(random.choice(self.hands))

    def _token(self) -> str:
        self._claims += 1
        return f"w:0:{TTL}:{self._claims}"

    def _claim(self, channel: str, token: str, limit: int, *, alone: bool, hold: int = 0) -> None:
        limits = ClaimLimits(limit, TTL, 4 << 20, 300_000, hold)
        shard, model, now = self.shard, self.model, self.now
        shard.client.delete(shard.keys.wake(channel))
        call = leases.route_claim(shard.keys, channel, token, limits, alone=alone, now=now)
        claim = leases.read_claim(shard.run(call), token)
        assert claim.now_ms == now
        if token in model.leases and (given := model.give_again(token, limit, now)):
            assert claim.word == "claimed"
            assert _names(claim) == given
        elif channel in model.paused:
            assert claim.word == "paused"
        elif 0 < hold <= len(model.events):
            assert (claim.word, claim.stream_length) == ("held", len(model.events))
        else:
            self._taken(channel, claim, limit, alone=alone)
        if claim.members:
            self._assert_as_stored(claim)
            self.hands.append(Hand(channel, claim, list(claim.members)))

    def _taken(self, channel: str, claim: Claim, limit: int, *, alone: bool) -> None:
        model, now = self.model, self.now
        fit = model.claim(channel, claim.token, now, alone=alone)
        taken, schedule = _names(claim), model.schedule(channel)
        assert set(taken) <= set(fit)
        assert len(taken) == len(set(taken)) == min(1 if alone else limit, len(fit))
        late = [at for m, at in schedule.items() if m in fit and m not in taken]
        assert max((schedule[m] for m in taken), default=0) <= min(late, default=now)
        suspects = len(model.due(channel, now)) - len(fit)
        if not taken:
            assert claim.word == "idle"
            assert claim.next_due_ms == min(
                (at for at in schedule.values() if at > now), default=None
            )
            assert claim.suspects == (0 if alone else suspects)
            return
        assert claim.word == "claimed"
        model.take(channel, claim.token, taken, now, TTL)
        full = len(taken) == limit
        assert not full or Observed(self.shard).indexes["wake", channel] == 1, "nobody goes on"

    def _assert_as_stored(self, claim: Claim) -> None:
        for claimed in claim.members:
            name, route = claimed.member.decode(), self.model.routes[claimed.member.decode()]
            assert claimed.abandoned == route.left_behind
            if name.partition("/")[0] in self.vanished:
                assert claimed.verdict == "vanished"
                continue
            assert claimed.verdict == ""
            stored = decode_route(claimed.state)
            assert (str(stored.status), stored.generation) == (route.status, route.generation)
            assert claimed.member.partition(b"/")[0] in claim.records

    def _settle(self, hand: Hand, settlement: Settlement, outcomes: list[Outcome]) -> list[str]:
        told = self.model.settle(hand.token, outcomes, self.now)
        claimed = len(hand.claim.members)
        call = settlement.call(self.shard.keys, hand.channel, hand.token, self.now, claimed)
        settled = read_settled(self.shard.run(call))
        assert [answer.word for answer in settled.answers] == told
        return told


def machine_on(
    connect: Callable[[], redis.Redis], mutants: Mapping[str, Script] | None = None
) -> type[ShardMachine]:
    """Return the machine for a server, with some of the scripts replaced by *mutants*."""
    return type("Machine", (Workers,), {"connect": staticmethod(connect), "mutants": mutants or {}})


def _wrong(hand: Hand) -> list[Correction]:
    found = [correction(claimed, hand.claim.now_ms) for claimed in hand.members]
    return [one for one in found if one is not None]


def _names(claim: Claim) -> list[str]:
    return [claimed.member.decode() for claimed in claim.members]
