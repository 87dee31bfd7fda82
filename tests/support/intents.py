"""Intents for tests: the plain one, variations of it, and how it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.intent import Intent

PLAIN: Mapping[str, Any] = {"type": "game.ready", "producer": "lobby", "recipients": ["user-7"]}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = 1_900_000_000_000


def intent(**fields: Any) -> Intent:
    """Make an intent of the plain fields and these."""
    return Intent(**{**PLAIN, **fields})


def refused(**fields: Any) -> InvalidIntent:
    """Return the refusal that these fields meet, the same on every way in."""
    with pytest.raises(InvalidIntent) as made:
        intent(**fields)
    for way in (Intent.model_validate, Intent.parse):
        with pytest.raises(InvalidIntent) as again:
            way({**PLAIN, **fields})
        assert str(again.value) == str(made.value)
    assert made.value.code == "invalid"
    str(made.value).encode()
    return made.value


def nested(levels: int) -> dict[str, Any]:
    """Return data of so many levels."""
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"in": data}
    return data
