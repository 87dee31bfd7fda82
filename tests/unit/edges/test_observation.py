"""What a program may ask of an edge, and how it is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from galaxy_notify.edges.observation import MOST_COOLDOWN_MS, Observation, observed
from galaxy_notify.errors import Invalid, InvalidEdge

NAN, INFINITE = float("nan"), float("inf")
HUGE = 10**400


@pytest.mark.parametrize(
    ("value", "terms", "zone"),
    [
        (8, {"at": 8}, "above"),
        (7.999, {"at": 8}, "below"),
        (8, {"at": 8, "clear": 8}, "above"),
        (7, {"at": 8, "clear": 8}, "below"),
        (7, {"at": 8, "clear": None}, "below"),
        (8, {"at": 8, "clear": 5}, "above"),
        (7, {"at": 8, "clear": 5}, "between"),
        (5, {"at": 8, "clear": 5}, "below"),
        (-1, {"at": 0, "clear": -2}, "between"),
        (Fraction(1, 3), {"at": 0.5}, "below"),
        (HUGE, {"at": 1e308}, "above"),
        (HUGE, {"at": HUGE + 1, "clear": HUGE - 1}, "between"),
        # 2 ** 53 + 1 is no float: as floats both would be the same.
        (2**53, {"at": 2**53 + 1}, "below"),
        (None, {"above": True}, "above"),
        (None, {"above": False}, "below"),
    ],
)
def test_observed__says_where_the_value_lies(value: Any, terms: Any, zone: str) -> None:
    """At `at` or over it is above, at `clear` or under it below, and between them neither."""
    assert observed("k", value, terms).zone == zone


@pytest.mark.parametrize(
    ("value", "terms", "text"),
    [
        (NAN, {"at": 8}, "value: must be a finite number"),
        (-INFINITE, {"at": 8}, "value: must be a finite number"),
        ("9", {"at": 8}, 'value: must be a number, not "9"'),
        (True, {"at": 8}, "value: must be a number, not a truth value"),
        (None, {"at": 8}, "value: must be a number, not null"),
        (Decimal(9), {"at": 8}, "value: must be a number, not Decimal"),
        (9, {}, "at: is required, where above is not given"),
        (9, {"at": None}, "at: must be a number, not null"),
        (9, {"at": NAN}, "at: must be a finite number"),
        (9, {"at": INFINITE}, "at: must be a finite number"),
        (9, {"at": 8, "clear": NAN}, "clear: must be a finite number"),
        (9, {"at": 8, "clear": "5"}, 'clear: must be a number, not "5"'),
        (9, {"at": 8, "clear": 9}, "clear: must not be greater than at"),
        (9, {"above": True}, "above: replaces value, at and clear: give it alone"),
        (None, {"above": True, "at": 8}, "above: replaces value, at and clear: give it alone"),
        (None, {"above": 1}, "above: must be true or false, not 1"),
        (None, {"above": None}, "above: must be true or false, not null"),
        (
            9,
            {"at": 8, "cooldown_ms": -1},
            "cooldown_ms: must be a whole number from 0 to 2592000000",
        ),
        (
            9,
            {"at": 8, "cooldown_ms": 1.5},
            "cooldown_ms: must be a whole number from 0 to 2592000000",
        ),
        (9, {"at": 8, "cooldown_ms": True}, "cooldown_ms: must be a whole number"),
        (9, {"at": 8, "cooldown_ms": MOST_COOLDOWN_MS + 1}, "cooldown_ms: must be a whole number"),
        (9, {"at": 8, "call_id": ""}, "call_id: must be 1 to 200 printable ASCII characters"),
        (9, {"at": 8, "call_id": 5}, "call_id: must be 1 to 200 printable ASCII characters"),
    ],
)
def test_observed__names_the_field_that_is_refused(value: Any, terms: Any, text: str) -> None:
    """The error says which one, and what it must be."""
    with pytest.raises(InvalidEdge) as raised:
        observed("k", value, terms)
    assert str(raised.value).startswith(text)
    assert raised.value.field == text.partition(":")[0]
    assert isinstance(raised.value, Invalid)


@pytest.mark.parametrize("key", ["", "k" * 201, "a\n", "\x00", "ü", "\ud800", None, 5, b"k"])
def test_observed__refuses_a_key(key: Any) -> None:
    """A key is short, printable text."""
    with pytest.raises(InvalidEdge, match=r"^key: must be 1 to 200 printable ASCII characters"):
        observed(key, 9, {"at": 8})


@pytest.mark.parametrize("key", ["k", "k" * 200, "disk /var {a}:*?", "~"])
def test_observed__takes_a_key(key: str) -> None:
    """Whatever it means elsewhere."""
    asked = observed(key, 9, {"at": 8, "cooldown_ms": MOST_COOLDOWN_MS})
    assert (asked.key, asked.cooldown_ms) == (key, MOST_COOLDOWN_MS)


def test_observed__refuses_an_unknown_name() -> None:
    """As Python does."""
    terms: Any = {"at": 8, "clera": 5}
    with pytest.raises(TypeError, match=r"^unexpected keyword argument 'clera'$"):
        observed("k", 9, terms)


def test_observed__draws_an_id_for_each_call() -> None:
    """Without one of the caller's it is new, with one always the same."""

    def call_id(asked: Observation) -> str:
        assert len(asked.call_id) == 16
        return asked.call_id

    drawn = {call_id(observed("k", 9, {"at": 8})) for _ in range(100)}
    assert len(drawn) == 100
    given = {call_id(observed("k", 9, {"at": 8, "call_id": "turn-12"})) for _ in range(3)}
    assert len(given) == 1
    assert call_id(observed("k", 9, {"at": 8, "call_id": "turn-13"})) not in given
