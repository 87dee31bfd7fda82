"""Whose fault it is that an event was not delivered: its own, its list's, or that of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event
from galaxy_notify.live import placing as module
from galaxy_notify.live.placing import Placing
from galaxy_notify.realtime.delivery import Delivery
from galaxy_notify.redis_client.faults import Fault, RedisFault, classify, fault_in
from galaxy_notify.redis_state.recent import RecentLimits
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from tests.support.events import event_of

GOOD = [b"appended", b"e1.1.abcd 0", []]


def _delivered(
    monkeypatch: pytest.MonkeyPatch, replies: Sequence[object], events: Sequence[Event]
) -> Mapping[str, object]:
    """Deliver events to a Redis that gives these answers."""

    async def answer(*_: object) -> Sequence[object]:
        return replies

    async def refresh(_: object) -> None:
        return None

    monkeypatch.setattr(module, "run_all", answer)
    monkeypatch.setattr(module, "refresh_primary", refresh)
    client: Any = None
    key_space = KeySpace("gn", SharedSettings())
    placing = Placing(client, key_space, RecentLimits(100, 1000))
    return asyncio.run(Delivery(placing, frozenset({"push"}))(events))


def test_delivery__fault_of_one_list_fails_its_event_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script says of one event is no reason to deliver its neighbours again."""
    events = [event_of(1, "u1"), event_of(2, "u2")]
    reply = [*GOOD, b"fault", b"", b"ERR a list of its own kind"]
    failed = _delivered(monkeypatch, [reply], events)
    assert failed == {events[1].event_id: "ERR a list of its own kind"}


@pytest.mark.parametrize(
    "text",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "@user_script: 7: -OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots",
        "READONLY You can't write against a read only replica.",
        "NOREPLICAS Not enough good replicas to write.",
        "NOPERM this user has no permissions to run the 'rpush' command",
    ],
)
def test_delivery__refusal_inside_the_script_is_a_fault_of_redis(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A refusal that any event would meet is raised; what was taken before it is not repeated."""
    events = [event_of(1, "u1"), event_of(2, "u2")]
    refused = [b"fault", b"", text.encode()]
    failed = _delivered(monkeypatch, [[*GOOD, *refused]], events)
    assert list(failed) == [events[1].event_id]
    assert isinstance(failed[events[1].event_id], RedisFault)
    with pytest.raises(RedisFault):
        _delivered(monkeypatch, [[*refused, *refused]], events)


@pytest.mark.parametrize(
    "fault",
    [
        classify(TimeoutError()),
        classify(ConnectionError()),
        fault_in("LOADING Redis is loading the dataset in memory"),
        fault_in("TRYAGAIN Multiple keys request during rehashing of slot"),
        fault_in("ASK 1 127.0.0.1:1"),
        fault_in("MOVED 1 127.0.0.1:1"),
        fault_in("BUSY Redis is busy running a script"),
        fault_in("CLUSTERDOWN The cluster is down"),
    ],
    ids=lambda fault: fault.code,
)
def test_delivery__call_that_redis_did_not_run_is_repeated(
    monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """No answer, and a refusal of the whole call, say nothing of its events."""
    with pytest.raises(RedisFault):
        _delivered(monkeypatch, [RedisFault(fault)], [event_of(1)])


def test_delivery__call_that_its_events_break_fails_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are delivered again, each alone, until the one is found."""
    event = event_of(1)
    broken = RedisFault(fault_in("ERR a defect of the script"))
    assert _delivered(monkeypatch, [broken], [event]).keys() == {event.event_id}


def test_delivery__corrupt_payload_is_the_events_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is returned as such, so that it is parked at once."""
    good, bad = event_of(1), event_of(2)
    bad = Event(**{**_fields(bad), "payload_bytes": b"\xc1"})
    failed = _delivered(monkeypatch, [GOOD], [good, bad])
    assert list(failed) == [bad.event_id]
    assert isinstance(failed[bad.event_id], Corrupt)


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Event.__dataclass_fields__}
