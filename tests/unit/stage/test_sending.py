"""What the form may ask for, and the intent that becomes of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from galaxy_notify.model.intent import Intent
from galaxy_notify.stage.sending import Refused, read_sending

FORM = {"to": ["ada", "grace"], "title": "Your turn", "body": "Move", "in_s": 0, "key": "k-1"}


def test_form__becomes_an_intent() -> None:
    """Now, by the bell only, unless more is asked for."""
    sending = read_sending(FORM)
    intent = Intent(**sending.intent)
    assert sending.users == ("ada", "grace")
    assert (intent.channels, intent.severity, intent.due_at) == (("in_app",), "info", None)
    assert (intent.title, intent.body, intent.idempotency_key) == ("Your turn", "Move", "k-1")


def test_form__may_ask_for_later_urgent_and_an_email() -> None:
    """What is due later says when."""
    before = time.time_ns() // 1_000_000
    sending = read_sending(FORM | {"to": ["ada"], "in_s": 10, "urgent": True, "email": True})
    intent = Intent(**sending.intent)
    assert (intent.channels, intent.severity) == (("in_app", "email"), "critical")
    assert intent.due_at == sending.due_at_ms >= before + 10_000
    assert sending.users == ("ada",)


@pytest.mark.parametrize(
    "asked",
    [
        None,
        [],
        {"title": "Your turn"},
        FORM | {"to": []},
        FORM | {"to": "ada"},
        FORM | {"to": ["ada", "linus"]},
        FORM | {"to": [["ada"]]},
        FORM | {"in_s": 11},
        FORM | {"in_s": False},
        FORM | {"in_s": []},
        FORM | {"producer": "other"},
    ],
)
def test_form__asks_for_nothing_else(asked: Any) -> None:
    """The stage notifies its two users, now or in ten seconds."""
    with pytest.raises(Refused):
        read_sending(asked)
