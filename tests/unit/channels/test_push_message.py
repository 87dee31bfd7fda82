"""What a service worker gets, and what the push service is asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.channels.push_encryption import MOST_CONTENT
from galaxy_notify.channels.push_message import push_content, push_headers
from galaxy_notify.model.live_event import LiveEvent

NOTIFICATION = "0a" * 16
EVENT = LiveEvent(
    f"{NOTIFICATION}.2/push:u1", "game.turn", "info", "Grüße", "Text", {"turn": 1.5}, 1
)


def test_content__is_the_event() -> None:
    """As a webhook gets it."""
    assert json.loads(push_content(EVENT)) == {
        "notification_id": NOTIFICATION,
        "event_id": EVENT.event_id,
        "type": "game.turn",
        "severity": "info",
        "title": "Grüße",
        "body": "Text",
        "data": {"turn": 1.5},
        "created_at_ms": 1,
    }


def test_content__that_is_too_long_becomes_thin() -> None:
    """By a single byte; the page asks the feed for the rest."""
    left = MOST_CONTENT - len(push_content(EVENT._replace(body="")))
    assert len(push_content(EVENT._replace(body="x" * left))) == MOST_CONTENT
    assert json.loads(push_content(EVENT._replace(body="x" * (left + 1)))) == {
        "notification_id": NOTIFICATION,
        "event_id": EVENT.event_id,
        "type": "game.turn",
        "severity": "info",
        "title": "Grüße",
        "created_at_ms": 1,
        "thin": True,
    }


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=201), st.data())
def test_content__always_fits(title: str, data: Any) -> None:
    """With any title, and the longest of everything else."""
    event = EVENT._replace(
        event_id=f"{NOTIFICATION}.{10**18}/{'c' * 32}:{'u' * 128}",
        type="t" * 64,
        title=title * data.draw(st.integers(1, 20)),
        body="x" * MOST_CONTENT,
    )
    content = push_content(event)
    assert len(content) <= MOST_CONTENT
    assert json.loads(content)["title"] == f"{event.title[:199]}…"


@pytest.mark.parametrize(
    ("severity", "urgency"),
    [("info", "low"), ("notice", "normal"), ("warning", "high"), ("critical", "high")],
)
def test_urgency__is_that_of_the_severity(severity: str, urgency: str) -> None:
    """A device with little power left waits with the others."""
    assert push_headers(EVENT._replace(severity=severity), 60)["Urgency"] == urgency


@pytest.mark.parametrize(("asked", "given"), [(-1, "0"), (0, "0"), (60, "60"), (10**9, "2419200")])
def test_ttl__is_within_what_push_services_take(asked: int, given: str) -> None:
    """Four weeks at most."""
    assert push_headers(EVENT, asked)["TTL"] == given


def test_topic__is_that_of_the_notification() -> None:
    """So a repeated message replaces the first; 32 characters of base64url, and no id."""
    again = EVENT._replace(event_id=f"{NOTIFICATION}.3/push:u1")
    other = EVENT._replace(event_id=f"{'0b' * 16}.2/push:u1")
    first, second, third = (push_headers(one, 60)["Topic"] for one in (EVENT, again, other))
    assert first == second != third
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", first)
    assert NOTIFICATION not in first
