"""attempt_record: each attempt once, the newest ones, and since when there were only failures."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.attempts import (
    GAP_MS,
    KEPT_MS,
    MOST_ATTEMPTS,
    MOST_RESPONSE,
    EndpointAttempt,
    Recorded,
    RecordedAttempt,
    attempt_record,
    attempts_flow,
    failing_since_flow,
    read_recorded,
)
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.shard import NOW, Shard
from tests.scripts.support.snapshot import snapshot

PLACE = ("u1", "hooks/a")


def _attempt(at: int = 0, outcome: str = "transient", **fields: Any) -> EndpointAttempt:
    return EndpointAttempt(NOW + at, f"{1:032x}/hooks:u1", "chat", 1, outcome, **fields)


def _record(shard: Shard, *attempts: EndpointAttempt, place: tuple[str, str] = PLACE) -> Any:
    items = [RecordedAttempt(*place, attempt) for attempt in attempts]
    return read_recorded(shard.run(attempt_record(shard.keys, items)), len(items))


def _read(shard: Shard, limit: int = MOST_ATTEMPTS) -> list[EndpointAttempt]:
    return run_flow_sync(shard.client, attempts_flow(shard.keys, *PLACE, limit))


def _since(shard: Shard) -> int | None:
    return run_flow_sync(shard.client, failing_since_flow(shard.keys, *PLACE))


def test_attempts__are_read_newest_first(shard: Shard) -> None:
    """All fields come back; a limit takes the newest."""
    first = _attempt(0, "transient", reason="http_status", status=500, took_ms=7, response="ü")
    then = _attempt(1, "delivered", status=200, detail="fine")
    _record(shard, first, then)
    assert _read(shard) == [then, first]
    assert _read(shard, 1) == [then]
    assert run_flow_sync(shard.client, attempts_flow(shard.keys, "u1", "hooks/b")) == []


def test_attempt__again_changes_nothing(shard: Shard) -> None:
    """Whatever came after it."""
    attempts = [_attempt(0), _attempt(1), _attempt(2, "delivered")]
    _record(shard, *attempts)
    before = snapshot(shard)
    assert _record(shard, *attempts) == [Recorded(None)] * 3
    assert snapshot(shard) == before


def test_attempts__are_bounded(shard: Shard) -> None:
    """In number, in what is kept of a response, and in time from the last one."""
    _record(shard, *(_attempt(n) for n in range(40)))
    shard.client.pexpire(shard.keys.attempts(*PLACE), 10_000)
    long = _attempt(MOST_ATTEMPTS, response="ü" * 5000, detail="\ud800" * 300)
    _record(shard, *(_attempt(n) for n in range(40, MOST_ATTEMPTS)), long)
    found = _read(shard)
    assert [one.at_ms - NOW for one in found] == list(range(MOST_ATTEMPTS, 0, -1))
    assert found[0].response == "ü" * (MOST_RESPONSE // 2)
    assert found[0].detail == "?" * 200
    assert 10_000 < int(shard.client.pttl(shard.keys.attempts(*PLACE))) <= KEPT_MS


def test_since__is_the_first_failure_after_a_delivery(shard: Shard) -> None:
    """A delivery ends it, and so does a time in which nothing was tried."""
    steps: list[tuple[int, str, int | None]] = [
        (1, "transient", 1),
        (2, "permanent", 1),
        (3, "delivered", None),
        (4, "gone", 4),
        (4 + GAP_MS, "transient", 4),
        (5 + 2 * GAP_MS, "transient", 5 + 2 * GAP_MS),
    ]
    assert _since(shard) is None
    for at, outcome, since in steps:
        expected = None if since is None else NOW + since
        assert _record(shard, _attempt(at, outcome)) == [Recorded(expected)]
        assert _since(shard) == expected


def test_attempts__of_endpoints_are_apart(shard: Shard) -> None:
    """Of another endpoint, and of another user."""
    _record(shard, _attempt(0))
    for place in (("u1", "hooks/b"), ("u2", "hooks/a"), ("u1:hooks", "a/a")):
        assert _record(shard, _attempt(1), place=place) == [Recorded(NOW + 1)]
    assert len(_read(shard)) == 1


def test_attempt__that_cannot_be_read_is_left_out(shard: Shard) -> None:
    """Its neighbours are shown."""
    key = shard.keys.attempts(*PLACE)
    _record(shard, _attempt(0))
    for text in (b"", b"x", b"0 0 \xc1", b"0 0 \x93\x01\x02\x03", b"0 0 " + b"\x9a" + b"\x01" * 10):
        shard.client.rpush(key, b"12345678", text)
    _record(shard, _attempt(1))
    assert [one.at_ms - NOW for one in _read(shard)] == [1, 0]


def test_attempts__at_a_key_of_another_type(shard: Shard) -> None:
    """It is left alone, and concerns its endpoint only."""
    shard.client.set(shard.keys.attempts(*PLACE), "foreign")
    (refused,) = _record(shard, _attempt(0))
    assert refused.reason.startswith("WRONGTYPE")
    assert _read(shard) == []
    assert _since(shard) is None


@pytest.mark.parametrize("command", ["LINDEX", "LPOS", "RPUSH"])
def test_attempt__without_a_right_is_not_recorded(shard: Shard, command: str) -> None:
    """The reason is the error."""
    _record(shard, _attempt(0))
    before = snapshot(shard)
    call = attempt_record(shard.keys, [RecordedAttempt(*PLACE, _attempt(1))])
    (found,) = read_recorded(refuse_all(shard, call, command).reply, 1)
    assert found == Recorded(reason="ERR injected")
    assert snapshot(shard) == before
