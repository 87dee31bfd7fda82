"""What an intent carries: its data, its moments, and the canonical form of both."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.intent import (
    Intent,
    canonical_content,
    check_intent,
    pack_content,
    routes_of,
)
from tests.support.intents import NOW, PLAIN, TRACEPARENT, intent, nested, refused

DAY_MS = 86_400_000


class Odd:
    """A value whose own text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


LOOP: dict[str, Any] = {}
LOOP["in"] = LOOP


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"turn": float("nan")}, "data.turn"),
        ({"turn": float("-inf")}, "data.turn"),
        ({"turn": 1 << 64}, "data.turn"),
        ({"turn": -(1 << 63) - 1}, "data.turn"),
        ({"turn": 10**5000}, "data.turn"),
        ({"turn": b"x"}, "data.turn"),
        ({"turn": {1}}, "data.turn"),
        ({"turn": Odd()}, "data.turn"),
        ({"turn": datetime.now(UTC)}, "data.turn"),
        ({"turn": "\ud800"}, "data.turn"),
        ({"a": 1, "b": [1, {"c": [0, "\udc00"]}]}, "data.b[1].c[1]"),
        ({1: "x"}, "data.1"),
        ({"a": {None: "x"}}, "data.a.NoneType"),
        ({"a": {10**5000: "x"}}, "data.a.int"),
        ({"a": {Odd(): "x"}}, "data.a.Odd"),
        ({"\ud800": 1}, "data.\\ud800"),
        ({"\ud800": "é"}, "data.\\ud800"),
        ({"a\nb": b"x"}, "data.a\\nb"),
        ({"k" * 100: b"x"}, "data." + "k" * 60 + "…"),
        (nested(33), "data" + ".in" * 32),
        (LOOP, "data" + ".in" * 32),
        ({"a": [[[]]] and nested(32)}, "data.a" + ".in" * 31),
    ],
)  # fmt: skip
def test_data__names_what_cannot_be_carried(data: dict[Any, Any], field: str) -> None:
    """What JSON, msgpack or UTF-8 cannot carry is refused by its path."""
    assert refused(data=data).field == field


def test_data__takes_the_extremes() -> None:
    """64-bit numbers, 32 levels, any text with a code point, and any mapping are carried."""
    data = {"big": (1 << 64) - 1, "small": -(1 << 63), "": "\0", "é": "\U0010ffff", "t": (1, 2)}
    assert intent(data=data).data == {**data, "t": [1, 2]}
    assert intent(data=nested(32)).data == nested(32)
    assert intent(data=MappingProxyType({"a": MappingProxyType({})})).data == {"a": {}}


def test_data__is_a_copy() -> None:
    """What the producer does to its data afterwards does not reach the intent."""
    data = {"turns": [1], "at": {"x": 1}}
    taken = intent(data=data)
    data["turns"].append(2)  # type: ignore[attr-defined]  # a value of two kinds
    data["at"] = {}
    assert taken.data == {"turns": [1], "at": {"x": 1}}


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (NOW, NOW),
        (float(NOW), NOW),
        (10**12, 10**12),
        (10**13, 10**13 - 1),
        ("2030-03-17T17:46:40Z", NOW),
        ("2030-03-17t17:46:40z", NOW),
        ("2030-03-17 17:46:40.000Z", NOW),
        ("2030-03-17T19:46:40.0019999+02:00", NOW + 1),
        ("2030-03-17T17:46:40-00:00", NOW),
        ("0001-01-01T00:00:00Z", 10**12),
        (datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC), NOW),
        (datetime(2030, 3, 17, 19, 46, 40, 1999, tzinfo=timezone(timedelta(hours=2))), NOW + 1),
        (datetime.min.replace(tzinfo=UTC), 10**12),
    ],
)
def test_moments__become_epoch_ms(written: object, ms: int) -> None:
    """A moment may be written in three ways; what is long past is the earliest moment."""
    assert intent(due_at=written).due_at_ms == ms
    assert intent(expires_at=written).expires_at_ms == ms


@pytest.mark.parametrize("bad", [10**12 - 1, 10**13 + 1, 1.9e9, 1_900_000_000])
def test_moments__suspect_seconds(bad: float) -> None:
    """A number that is no 13-digit one is probably seconds."""
    assert "probably seconds" in refused(due_at=bad).message


@pytest.mark.parametrize("expires", [NOW, NOW - 1, "2030-03-17T17:46:40Z"])
def test_expiry__must_follow_the_due_time(expires: object) -> None:
    """An intent cannot expire before or when it is due."""
    assert str(refused(due_at=NOW, expires_at=expires)) == "expires_at: must be later than due_at"
    assert intent(due_at=NOW, expires_at=NOW + 1).expires_at_ms == NOW + 1


def test_check_intent__names_the_unknown_channel() -> None:
    """A channel this deployment lacks is named, with those it has."""
    with pytest.raises(InvalidIntent) as error:
        check_intent(intent(channels=["psuh"]), channels=("push",), now_ms=NOW)
    assert str(error.value) == 'channels[0]: unknown channel "psuh" (known: push)'
    with pytest.raises(InvalidIntent, match=r'^channels\[1\]: .*"sms" \(known: push, web\)$'):
        check_intent(intent(channels=["web", "sms"]), channels={"web", "push"}, now_ms=NOW)


@pytest.mark.parametrize(
    ("late_ms", "past_due_ms", "told"),
    [
        (0, 1, ""),
        (-DAY_MS, 1, ""),
        (1_000, 1_000, ""),
        (1_001, 1_000, "is 1 s ago, the limit is 1 s"),
        (2 * DAY_MS, 3_600_000, "is 2 d ago, the limit is 1 h"),
        (2 * DAY_MS, 0, ""),
    ],
)
def test_check_intent__bounds_how_long_ago_it_was_due(
    late_ms: int, past_due_ms: int, told: str
) -> None:
    """A due time of long ago is an error of the sender, where the deployment says so."""
    made = intent(due_at=NOW - late_ms)
    if told:
        with pytest.raises(InvalidIntent, match=f"^due_at: {told}$"):
            check_intent(made, channels=["push"], now_ms=NOW, past_due_ms=past_due_ms)
    else:
        check_intent(made, channels=["push"], now_ms=NOW, past_due_ms=past_due_ms)


@pytest.mark.parametrize(("expires", "fits"), [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_check_intent__refuses_the_expired(expires: int, fits: bool) -> None:
    """An intent must expire later than now; one due in the past is due now."""
    made = intent(expires_at=expires, due_at=NOW - 9)
    if fits:
        check_intent(made, channels=["push"], now_ms=NOW)
        return
    with pytest.raises(InvalidIntent, match=r"^expires_at: must be later than now$"):
        check_intent(made, channels=["push"], now_ms=NOW)


SAME = [
    ({"recipients": ["a", "b"]}, {"recipients": ["b", "a", "b"]}),
    ({"channels": ["push", "web"]}, {"channels": ["web", "push", "web"]}),
    ({"data": {"a": 1, "b": {"c": 1, "d": [1]}}}, {"data": {"b": {"d": (1,), "c": 1}, "a": 1}}),
    ({"due_at": NOW}, {"due_at": "2030-03-17T17:46:40Z"}),
    ({"request_id": "a", "trace_id": "b"}, {"request_id": "c", "traceparent": TRACEPARENT}),
    ({"producer": "a", "idempotency_key": "k"}, {"producer": "b"}),
    ({}, {"severity": "info", "title": "", "channels": ["push"], "data": {}}),
]
OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "a"}, {"type": "b"}),
    ({"recipients": ["a"]}, {"recipients": ["a", "b"]}),
    ({"channels": ["push"]}, {"channels": ["web"]}),
    ({"recipients": ["push"], "channels": ["web"]}, {"recipients": ["web"], "channels": ["push"]}),
    ({"severity": "info"}, {"severity": "notice"}),
    ({"title": "x"}, {"body": "x"}),
    ({"data": {"a": 1}}, {"data": {"a": 1.0}}),
    ({"data": {"a": 1}}, {"data": {"a": True}}),
    ({"data": {"a": 0}}, {"data": {"a": False}}),
    ({"data": {"a": None}}, {"data": {}}),
    ({"data": {"a": [1, 2]}}, {"data": {"a": [2, 1]}}),
    ({"data": {"a": "1"}}, {"data": {"a": 1}}),
    ({"due_at": NOW}, {"expires_at": NOW}),
    ({"due_at": NOW}, {}),
    ({"max_attempts": 8}, {}),
]


def _canonical(made: Intent) -> bytes:
    return canonical_content(made, routes_of(made), pack_content(made))


@pytest.mark.parametrize(("one", "two"), SAME)
def test_canonical_content__is_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    """The same content in another order, form or request has the same canonical form."""
    assert _canonical(intent(**one)) == _canonical(intent(**two))


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_canonical_content__differs(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Any difference in content is one in the canonical form."""
    assert _canonical(intent(**one)) != _canonical(intent(**two))


def test_canonical_content__is_the_same_in_another_process() -> None:
    """The canonical form does not depend on the seed of a process's hashes."""
    code = (
        "import sys;"
        "from galaxy_notify.model.intent import Intent, canonical_content, pack_content, routes_of;"
        "r=[f'u{n}' for n in range(50)];"
        "i=Intent(type='t',producer='p',recipients=r,data={x:x for x in r});"
        "sys.stdout.write(canonical_content(i, routes_of(i), pack_content(i)).hex())"
    )
    forms = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(forms) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(), JSON),
    st.dictionaries(st.sampled_from(list(Intent.model_fields)), JSON),
)
def test_intent__meets_whatever_comes(data: dict[str, Any], fields: dict[str, Any]) -> None:
    """Whatever comes in is an intent with a canonical form, or a refusal that can be printed."""
    try:
        _canonical(Intent.parse({**PLAIN, "data": data, **fields}))
    except InvalidIntent as error:
        str(error).encode()
