"""The open connections of a process: who may connect, and when each of them ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from time import monotonic, time
from typing import Any, cast

import pytest

from galaxy_notify.realtime import connections as connections_module
from galaxy_notify.realtime import tokens as tokens_module
from galaxy_notify.realtime.connection import Connection
from galaxy_notify.realtime.connections import Connections, ConnectRate
from galaxy_notify.realtime.message import Message
from galaxy_notify.realtime.tokens import TokenUser
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Telemetry


class _Stream:
    def __init__(self, user: str) -> None:
        self.user = user


class _Connection:
    """A connection as `Connections` sees it: it notes how it was ended."""

    def __init__(self, user: str) -> None:
        self.stream = _Stream(user)
        self.wrote_at = monotonic()
        self.end_reason = ""
        self.pings = 0
        self.is_aborted = False
        self.stalls = False

    def end(self, reason: str) -> None:
        self.end_reason = self.end_reason or reason

    def ping(self) -> None:
        self.pings += 1

    def abort(self) -> None:
        self.is_aborted = True

    def is_stalled(self, _: float) -> bool:
        return self.stalls


class _Clock:
    """The monotonic clock of the module under test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Clock]:
    """Give the clock that connections and their tokens go by."""
    made = _Clock()
    monkeypatch.setattr(connections_module, "monotonic", made)
    monkeypatch.setattr(tokens_module, "time", made)
    return made  # type: ignore[return-value]


def _connections(**own: Any) -> Connections:
    made = Connections(settings_from({"realtime": own}).realtime, Telemetry.off())
    made._rate._at = vars(connections_module)["monotonic"]()
    return made


def _add(connections: Connections, user: str = "u1", expires_in_s: float = 3600.0) -> _Connection:
    made = _Connection(user)
    made.wrote_at = vars(connections_module)["monotonic"]()
    now = vars(tokens_module)["time"]()
    connections.add(cast("Connection", made), TokenUser(user, now, now + expires_in_s))
    return made


def _remove(connections: Connections, connection: _Connection) -> None:
    connections.remove(cast("Connection", connection))


def test_rate__keeps_the_permits_of_one_second(clock: _Clock, monkeypatch: Any) -> None:
    """Those of an idle minute are not saved up."""
    rate = ConnectRate(5)
    monkeypatch.setattr(rate, "_at", clock.now)
    assert [not rate.take() for _ in range(6)] == [True] * 5 + [False]
    clock.now += 0.2
    assert [not rate.take() for _ in range(2)] == [True, False]
    clock.now += 60
    assert [not rate.take() for _ in range(6)] == [True] * 5 + [False]


def test_rate__spreads_those_who_got_no_permit(clock: _Clock) -> None:
    """Of a thousand at once two hundred are let in; the others come back as permits come."""
    rate = ConnectRate(200)
    waits = [rate.take() for _ in range(1000)]
    assert waits[:200] == [0.0] * 200
    assert waits[200:] == sorted(waits[200:])
    assert waits[200] > 0
    assert waits[-1] == pytest.approx(4.0)
    for wait in waits[200:]:
        clock.now = 1000.0 + wait + 0.005
        assert rate.take() == 0.0


def _refused(connections: Connections) -> str:
    refusal = connections.refusal()
    return refusal.reason if refusal else ""


def test_refusal__names_what_is_exceeded(clock: _Clock) -> None:
    """A full process spends no permit; one that stops lets nobody in."""
    connections = _connections(max_connections=1, connects_per_s=2)
    assert _refused(connections) == ""
    one = _add(connections)
    assert [_refused(connections) for _ in range(5)] == ["too_many"] * 5
    _remove(connections, one)
    assert _refused(connections) == ""
    assert _refused(connections) == "too_many"
    connections.is_draining = True
    clock.now += 60
    assert _refused(connections) == "shutdown"


def test_refusal__by_the_rate_is_shorter_than_by_the_number(clock: _Clock) -> None:
    """A process that is full stays so; one that is asked too often is not for long."""
    busy, full = _connections(connects_per_s=1), _connections(max_connections=1)
    assert busy.refusal() is None
    _add(full)
    by_rate, by_number = busy.refusal(), full.refusal()
    assert by_rate is not None
    assert by_number is not None
    assert by_rate.reason == by_number.reason == "too_many"
    assert 1000 <= by_rate.retry_ms <= 5000
    assert by_number.retry_ms >= 20_000


def test_refusal__by_the_rate_has_a_bound(clock: _Clock) -> None:
    """One client that asks all the time does not send the others away for hours."""
    connections = _connections(connects_per_s=1)
    refused = [connections.refusal() for _ in range(1000)]
    assert refused[0] is None
    assert max(one.retry_ms for one in refused if one is not None) == 60_000


def test_refusal__of_a_stop_does_not_let_clients_come_back_at_once() -> None:
    """They would only be sent away again until the process has ended."""
    stopping = _connections()
    stopping.is_draining = True
    found = [stopping.refusal() for _ in range(50)]
    assert all(one is not None and one.retry_ms >= 1000 for one in found)


def test_streams_of_a_user__end_oldest_first() -> None:
    """One that is ending already does not count, and other users are not touched."""
    connections = _connections(streams_per_user=2)
    other = _add(connections, "u2")
    made = [_add(connections) for _ in range(5)]
    assert [one.end_reason for one in made] == ["too_many"] * 3 + [""] * 2
    assert other.end_reason == ""
    assert (len(connections), connections.users) == (6, 2)
    for one in [*made, other]:
        _remove(connections, one)
        _remove(connections, one)
    assert (len(connections), connections.users) == (0, 0)


def test_rotation__is_spread(clock: _Clock) -> None:
    """Each stream lasts its time, 20 % more or less; not all end at once."""
    connections = _connections(max_age_ms=100_000)
    made = [_add(connections) for _ in range(20)]
    ended = []
    for second in range(125):
        clock.now = 1000.0 + second
        connections._look_at_all()
        ended.append(sum(bool(one.end_reason) for one in made))
    assert ended[79] == 0
    assert ended[121] == 20
    assert len(set(ended)) > 3
    assert {one.end_reason for one in made} == {"rotate"}


def test_expiry__comes_before_a_later_rotation(clock: _Clock) -> None:
    """The token ends the stream, and the client knows that it needs another one."""
    connections = _connections(max_age_ms=100_000)
    short, long = _add(connections, expires_in_s=10.0), _add(connections, expires_in_s=121.0)
    clock.now += 9.9
    connections._look_at_all()
    assert not short.end_reason
    clock.now += 0.1
    connections._look_at_all()
    assert (short.end_reason, long.end_reason) == ("expired", "")
    clock.now += 120
    connections._look_at_all()
    assert long.end_reason == "rotate"


def test_keep_alive__is_for_those_who_heard_nothing(clock: _Clock) -> None:
    """Whoever was sent something lately needs none; a stalled one is dropped instead."""
    connections = _connections(ping_ms=1000)
    idle, busy, stalled = (_add(connections) for _ in range(3))
    stalled.stalls = True
    clock.now += 1
    busy.wrote_at = clock.now
    connections._look_at_all()
    assert (idle.pings, busy.pings, stalled.pings) == (1, 0, 0)
    assert (idle.is_aborted, stalled.is_aborted) == (False, True)


def test_latencies__are_handed_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that several streams sent is timed by the first of them."""
    connections, noted = _connections(), list[float]()
    monkeypatch.setattr(connections._telemetry, "stream_latencies", noted.extend)
    first, second = (Message("notification", "{}", at_ms=int(time() * 1000)) for _ in range(2))
    for message in (first, first, second):
        connections.sent([message])
    for _ in range(2):
        connections.flush()
    assert len(noted) == 2


def test_drain__is_spread_over_its_time(monkeypatch: pytest.MonkeyPatch, clock: _Clock) -> None:
    """Clients come to the other processes one after the other; it ends with the last of them."""

    async def scenario() -> list[int]:
        connections = _connections(drain_ms=10_000)
        made = [_add(connections, f"u{number}") for number in range(100)]
        ended = []

        async def pass_time(_: float) -> None:
            for one in [one for one in made if one.end_reason]:
                _remove(connections, one)
            ended.append(sum(bool(one.end_reason) for one in made))
            clock.now += 1.0

        monkeypatch.setattr(asyncio, "sleep", pass_time)
        for one in made[:1]:
            _remove(connections, one)
            made.remove(one)
        drain = asyncio.ensure_future(connections.drain())
        while not all(one.end_reason for one in made):
            await asyncio.wait({drain}, timeout=0)
        for one in made:
            _remove(connections, one)
        await drain
        assert {one.end_reason for one in made} == {"shutdown"}
        return ended

    ended = asyncio.run(scenario())
    assert ended == sorted(ended)
    steps = [after - before for before, after in itertools.pairwise(ended)]
    assert max(steps) <= 11, ended


def test_drain__without_connections_is_over() -> None:
    """It waits for nobody."""
    asyncio.run(_connections().drain())


def test_drain__drops_those_who_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were told; the process does not wait for them."""
    monkeypatch.setattr(connections_module, "_LAST_WRITES_S", 0.01)

    async def scenario() -> None:
        connections = _connections(drain_ms=0)
        stuck = _add(connections)
        await connections.drain()
        assert (stuck.end_reason, stuck.is_aborted) == ("shutdown", True)

    asyncio.run(scenario())
