"""edge_fire: an edge fires when it goes above, once, and a repeat is answered as before."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from galaxy_notify.redis_state.edges import KEPT_MS, Zone, edge_fire, read_fired
from tests.scripts.support.shard import NOW, Shard

_CALLS = count(1)


def _fires(
    shard: Shard, zone: str, after_ms: int = 0, *, cooldown_ms: int = 0, call: int = 0
) -> bool:
    shard.now = NOW + after_ms
    call_id = f"{call or next(_CALLS):016x}"
    return read_fired(shard.run(edge_fire(shard.keys, "k", Zone(zone), cooldown_ms, call_id)))


def _stored(shard: Shard) -> Any:
    return shard.client.get(shard.keys.edge("k"))


def test_edge_fire__fires_when_it_goes_above(shard: Shard) -> None:
    """Once for each time, and only after it came back; in between nothing moves."""
    zones = ["between", "below", "above", "above", "between", "above", "below", "below", "above"]
    fired = [zone for zone in zones if _fires(shard, zone)]
    assert fired == ["above", "above"]
    assert [_fires(shard, zone) for zone in ("between", "above")] == [False, False]


def test_edge_fire__stores_nothing_of_an_edge_that_was_never_above(shard: Shard) -> None:
    """A key that is not there is below: values that never rise cost no memory."""
    assert not _fires(shard, "below")
    assert not _fires(shard, "between")
    assert _stored(shard) is None


def test_edge_fire__keys_are_apart(shard: Shard) -> None:
    """Another key is asked separately."""
    assert _fires(shard, "above")
    other = edge_fire(shard.keys, "k2", Zone.ABOVE, 0, f"{1:016x}")
    assert read_fired(shard.run(other))


def test_edge_fire__flapping_is_caught_by_the_cooldown(shard: Shard) -> None:
    """Within the cooldown after it fired, it goes above silently, and stays silent there."""
    answers = [
        _fires(shard, zone, after_ms, cooldown_ms=1000)
        for after_ms, zone in (
            *((0, "above"), (10, "below"), (999, "above"), (2000, "above"), (2001, "below")),
            *((2002, "above"), (2003, "below"), (3001, "above"), (3002, "below"), (3003, "above")),
        )
    ]
    fired = [place for place, answer in enumerate(answers) if answer]
    # It counts from what fired, not from what was silent: from 2002 to 3003, not from 3001.
    assert fired == [0, 5, 9]


@pytest.mark.parametrize(
    ("back_ms", "fires"), [(1, False), (999, False), (1000, True), (3_600_000, True)]
)
def test_edge_fire__goes_on_after_the_clock_was_set_back(
    shard: Shard, back_ms: int, fires: bool
) -> None:
    """A clock set back is silent for no longer than a cooldown."""
    assert _fires(shard, "above", cooldown_ms=1000)
    assert not _fires(shard, "below")
    assert _fires(shard, "above", -back_ms, cooldown_ms=1000) is fires


def test_edge_fire__a_repeat_is_answered_as_before(shard: Shard) -> None:
    """Whatever moved the edge meanwhile, a call that moved it does so once."""
    assert _fires(shard, "above", call=1001)
    assert _fires(shard, "above", call=1001)
    assert not _fires(shard, "below", call=1002)
    assert _fires(shard, "above", call=1001), "answered as before"
    assert _fires(shard, "above", call=1003), "though the call before it was a repeat"
    assert not _fires(shard, "below", call=1002), "answered as before"
    assert not _fires(shard, "above", call=1004), "that repeat did not bring it back"
    assert _fires(shard, "above", call=1003)


def test_edge_fire__a_repeat_of_a_silent_move_stays_silent(shard: Shard) -> None:
    """What the cooldown kept silent is not fired by its repeat after the cooldown."""
    assert _fires(shard, "above", cooldown_ms=1000)
    assert not _fires(shard, "below", 1)
    assert not _fires(shard, "above", 2, cooldown_ms=1000, call=1001)
    assert not _fires(shard, "above", 5000, cooldown_ms=1000, call=1001)


def test_edge_fire__remembers_a_bounded_number_of_calls(shard: Shard) -> None:
    """The last 32 calls that moved the edge; the size is what lua/README.md says."""
    first = 5000
    assert _fires(shard, "above", call=first)
    for number in range(1, 32):
        _fires(shard, "below" if number % 2 else "above", call=first + number)
    assert _fires(shard, "above", call=first), "the 32nd from the end"
    assert _fires(shard, "above", call=first + 32)
    assert not _fires(shard, "above", call=first), "forgotten, and the edge is above"
    assert len(_stored(shard)) == 591


def test_edge_fire__is_kept_by_every_call(shard: Shard) -> None:
    """Each call keeps the edge, whether it moves or not, for longer than its cooldown."""
    key = shard.keys.edge("k")
    for zone in ("above", "above", "between", "below", "below"):
        _fires(shard, zone, cooldown_ms=5000)
        assert KEPT_MS < shard.client.pttl(key) <= KEPT_MS + 5000
        shard.client.pexpire(key, 60_000)


@pytest.mark.parametrize(
    "foreign",
    [
        *(b"", b"x", b"1a", b"1a190000000000", b"1c1900000000000", b"2a1900000000000"),
        b"1a1900000000000" + b" " + b"0" * 16,
        b"1a1900000000000" + b" 0000000000000000x",
        b"1a1900000000000" + b" 00000000000000001" * 33,
    ],
)
def test_edge_fire__replaces_what_another_client_wrote(shard: Shard, foreign: bytes) -> None:
    """A value that is not an edge counts as an edge that was never above."""
    shard.client.set(shard.keys.edge("k"), foreign)
    assert not _fires(shard, "between")
    assert _stored(shard) == foreign
    assert _fires(shard, "above")
    assert not _fires(shard, "above")


def test_edge_fire__replaces_a_key_of_another_type(shard: Shard) -> None:
    """It fires once more, never once less."""
    shard.client.rpush(shard.keys.edge("k"), "x")
    assert not _fires(shard, "below")
    assert _fires(shard, "above")
    assert not _fires(shard, "above")
