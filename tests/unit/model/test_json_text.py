"""The shape of a JSON text is found without parsing it, however the text is divided."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model import json_text
from galaxy_notify.model.json_text import MOST_LEVELS, JsonLimits, Shape, check_shape, parse_json

_TEXT = st.text(st.sampled_from('ab"\\[]{},:é\n'), max_size=12)
_VALUES = st.recursive(
    st.none() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
)


def _counted(value: Any) -> tuple[int, int]:
    """Return the containers and the commas between values of a value."""
    if not isinstance(value, dict | list):
        return 0, 0
    inner = [_counted(one) for one in (value.values() if isinstance(value, dict) else value)]
    commas = max(0, len(value) - 1) + sum(commas for _, commas in inner)
    return 1 + sum(containers for containers, _ in inner), commas


@given(value=_VALUES, size=st.integers(1, 9), escaped=st.booleans())
def test_shape__is_that_of_the_value(value: Any, size: int, escaped: bool) -> None:
    """Brackets and commas within texts count for nothing, also where a piece ends within one."""
    raw = json.dumps(value, ensure_ascii=escaped).encode()
    shape = Shape("the text")
    for start in range(0, len(raw), size):
        shape.read(raw[start : start + size])
    assert (shape.containers, shape.commas) == _counted(value)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[" * (MOST_LEVELS + 1), "nested too deeply"),
        (b'{"a":' * (MOST_LEVELS + 1), "nested too deeply"),
        (b"[" + b"[]," * 100 + b"1]", "more than 100 lists and objects"),
        (b"[" + b"1," * 1001 + b"1]", "more than 1,000 values"),
    ],
    ids=["lists", "objects", "containers", "values"],
)
def test_too_much__is_refused_before_it_is_parsed(
    raw: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks a limit never reaches the parser."""
    limits = JsonLimits(100, 1000)
    with pytest.raises(InvalidIntent, match=reason):
        check_shape(raw, "the text", limits)
    monkeypatch.setattr(json_text, "read_json", lambda *_: pytest.fail("it was parsed"))
    with pytest.raises(InvalidIntent, match=reason):
        parse_json(raw + b" " * 4096, "the text", limits)


def test_levels__are_those_at_a_time() -> None:
    """What was closed is no level any more, however the brackets come."""
    check_shape(b"[" + b"[[]]," * 1000 + b"[" * 60 + b"]" * 60 + b"]", "the text")
