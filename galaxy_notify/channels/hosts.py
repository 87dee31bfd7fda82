"""How many attempts go to one host at a time, and how long a host rests that does not answer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.channels.line import LONGEST_S, Line

#: Attempts in a row without any answer, after which a host rests.
FAILURES: Final = 5
_FIRST_REST_S: Final = 1.0
_LONGEST_REST_S: Final = 600.0
#: While a host rests, one of its waiting routes comes back in this time, and not all at once: what
#: they cost is bounded however many there are, and so is what the host gets when it is back.
_RESTING_GAP_S: Final = 0.06
#: A host that is busy: no closer than this, whatever it takes to send.
_BUSY_GAP_S: Final = 0.005
#: A place waits for its turn at a host where that is likely to come so soon: cheaper than to claim
#: the route again. It waits no longer than this, whatever was likely.
_LIKELY_S: Final = 0.1
_LONGEST_WAIT_S: Final = 0.25
#: The weight of the last attempt in the average of how long one takes.
_WEIGHT: Final = 0.2
_REMEMBERED: Final = 10_000


class Permit(NamedTuple):
    """Leave for one attempt; to be handed back with its end."""

    host: str
    since: float
    is_probe: bool = False


class Busy(NamedTuple):
    """No leave: try again in *ms*. The host *rests* because it did not answer, or has enough."""

    ms: int
    rests: bool


@dataclass(slots=True)
class _Host:
    sending: int = 0
    #: Places that wait for the end of another attempt, in order.
    waiting: deque[asyncio.Future[bool]] = field(default_factory=deque)
    failures: int = 0
    rest_s: float = 0.0
    rests_until: float = 0.0
    is_probed: bool = False
    average_s: float = 0.05
    line: Line = field(default_factory=Line)

    @property
    def rests(self) -> bool:
        return self.rest_s > 0


class Hosts:
    """The hosts of one channel, as this process knows them; it reads and writes nothing."""

    def __init__(
        self,
        per_host: int,
        clock: Callable[[], float] = monotonic,
        rng: Random | None = None,
    ) -> None:
        self._per_host = per_host
        self._clock = clock
        self._rng = rng or SystemRandom()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @property
    def resting(self) -> int:
        """How many hosts rest, and are still waited for."""
        longest = self._clock() - LONGEST_S
        return sum(host.rests and host.rests_until > longest for host in self._hosts.values())

    async def enter(self, name: str) -> Permit | Busy:
        """Return leave for an attempt, or when to ask again. An empty name has no limits.

        It may wait for a moment, where a turn is near.
        """
        if not name:
            return Permit(name, self._clock())
        host = self._host(name)
        if host.sending >= self._per_host and not host.rests:
            has_turn = await self._turn_came(host)
            if not has_turn:
                return Busy(self._turn_ms(host), host.rests)
        elif host.rests and (self._clock() < host.rests_until or host.is_probed):
            return Busy(self._turn_ms(host), rests=True)
        else:
            host.sending += 1
        host.is_probed = host.rests
        return Permit(name, self._clock(), is_probe=host.rests)

    async def _turn_came(self, host: _Host) -> bool:
        """Wait for the end of another attempt, if that is likely to be near; return if it came."""
        if host.average_s * (len(host.waiting) + 1) > _LIKELY_S * self._per_host:
            return False
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        host.waiting.append(turn)
        await asyncio.wait({turn}, timeout=_LONGEST_WAIT_S)
        if turn.done():
            return turn.result()
        host.waiting.remove(turn)
        return False

    def leave(self, permit: Permit, *, answered: bool | None) -> None:
        """Hand a permit back: the host answered, it did not, or (None) nothing was tried."""
        host = self._hosts.get(permit.host)
        if host is None:
            return
        if permit.is_probe:
            host.is_probed = False
        if answered is not None:
            self._learn(host, permit, answered=answered)
        if host.waiting:
            # This turn is the next one's, before whoever comes now.
            host.waiting.popleft().set_result(True)
        else:
            host.sending -= 1

    def _learn(self, host: _Host, permit: Permit, *, answered: bool) -> None:
        now = self._clock()
        host.average_s += _WEIGHT * (now - permit.since - host.average_s)
        if answered:
            if host.rests:
                # Those in the line come at their times; others need not queue behind them.
                host.rest_s = host.rests_until = 0.0
                host.line.end()
            host.failures = 0
            return
        host.failures += 1
        # What was under way when the rest began says nothing new.
        if permit.is_probe or (not host.rests and host.failures >= FAILURES):
            self._rest(host, now)

    def _rest(self, host: _Host, now: float) -> None:
        host.rest_s = min(max(_FIRST_REST_S, 2 * host.rest_s), _LONGEST_REST_S)
        host.rests_until = now + host.rest_s * self._rng.uniform(0.8, 1.2)
        while host.waiting:
            host.waiting.popleft().set_result(False)

    def _turn_ms(self, host: _Host) -> int:
        """Return in how many ms the next waiting route has its turn, each a gap behind another."""
        now = self._clock()
        begins = max(now, host.rests_until)
        gap = _RESTING_GAP_S if host.rests else max(_BUSY_GAP_S, host.average_s / self._per_host)
        return max(1, round((host.line.turn(begins, gap) - now) * 1000))

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host()
            self._forget()
        self._hosts.move_to_end(name)
        return host

    def _forget(self) -> None:
        """Forget the host that was asked for longest ago, unless something is under way to it."""
        if len(self._hosts) > _REMEMBERED:
            name, oldest = next(iter(self._hosts.items()))
            if oldest.sending:
                self._hosts.move_to_end(name)
            else:
                del self._hosts[name]
