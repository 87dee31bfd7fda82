"""A user's own feed: the problems that its errors become, and who is sent the counts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from galaxy_notify.errors import (
    AlreadyClosed,
    ConfigurationError,
    FeedUnavailable,
    InvalidQuery,
    Misconfigured,
)
from galaxy_notify.feed.asked import Selection
from galaxy_notify.feed.async_feed import AsyncFeed
from galaxy_notify.model.feed import Counts
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.user_feed import UserFeed, invalid
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.web.problems import Problem

_OLD, _NEW, _NEWER = (Counts(1, 1, version, 1) for version in (1, 2, 3))


class _Feed:
    """Answers every call with what the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def mark_selected(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer

    counts = mark_selected


def _user_feed(answer: Any) -> UserFeed:
    return UserFeed(cast("AsyncFeed", _Feed(answer)), Telemetry())


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (FeedUnavailable("at 10.0.0.1", code="connection"), 503, "unavailable"),
        (FeedUnavailable("at 10.0.0.1", code="locked"), 503, "unavailable"),
        (FeedUnavailable("at 10.0.0.1", code="busy"), 503, "busy"),
        (AlreadyClosed("closed at 10.0.0.1"), 503, "unavailable"),
        (Misconfigured("password at 10.0.0.1", code="28P01"), 500, "misconfigured"),
        (ConfigurationError("schema at 10.0.0.1"), 500, "misconfigured"),
        (InvalidQuery("cursor", "is wrong"), 422, "invalid"),
    ],
)
def test_error__becomes_a_problem_that_names_no_server(
    error: Exception, status: int, kind: str
) -> None:
    """Anybody may read it; what passes by itself says when to come back."""
    with pytest.raises(Problem) as raised:
        asyncio.run(_user_feed(error).counts("u1"))
    problem = raised.value
    assert (problem.status, problem.kind) == (status, kind)
    assert "10.0.0.1" not in problem.body.decode()
    assert ("Retry-After" in problem.headers) == (status == 503)


@pytest.mark.parametrize(
    ("wanted", "field"), [(Selection(["a"]), "ids[0]"), (Selection(None, "a"), "until")]
)
def test_item__that_is_not_there_is_not_found(wanted: Selection, field: str) -> None:
    """The one that was named is named."""
    with pytest.raises(Problem) as raised:
        asyncio.run(_user_feed(None).mark("u1", "read", wanted))
    assert raised.value.status == 404
    assert raised.value.errors[0]["field"] == field


def test_invalid__says_where_its_field_is() -> None:
    """Of a message over a WebSocket, below the name of its mark."""
    error = InvalidQuery("ids", "is wrong")
    assert invalid(error).errors[0]["field"] == "ids"
    assert invalid(error, "read").errors[0]["field"] == "read.ids"
    assert invalid(InvalidQuery("", "is wrong"), "read").errors[0]["field"] == "read"
    assert invalid(InvalidQuery("", "is wrong")).detail == "is wrong"


def _stream() -> Stream:
    return Stream("u1", BufferLimits(9, 9999))


def _taken(stream: Stream) -> list[str]:
    found = []
    while (message := stream.take()) is not None:
        found.append(message.data)
    return found


@pytest.mark.parametrize(
    ("known", "answered", "meanwhile", "asking", "other"),
    [
        (_OLD, _NEW, None, [_NEW], [_NEW]),
        (_NEW, _NEW, None, [_NEW], []),
        (_NEWER, _NEW, None, [_NEWER], []),
        (None, _NEW, None, [_NEW], [_NEW]),
        (_OLD, _NEW, _NEWER, [_NEWER], [_NEWER]),
        (_OLD, _NEW, _NEW, [_NEW], [_NEW]),
    ],
)
def test_mark_for__answers_its_stream_once(
    known: Counts | None,
    answered: Counts,
    meanwhile: Counts | None,
    asking: list[Counts],
    other: list[Counts],
) -> None:
    """Also where nothing changed, or the counts came by another way before."""
    one, two = _stream(), _stream()
    hub = Hub(0.1, bool)

    def answer() -> Counts:
        hub.receive_counts("u1", meanwhile or known)
        return answered

    feed = _user_feed(answer)
    feed.hub = hub
    for stream in (one, two):
        hub.add(stream)
        stream.go_live()
    hub.receive_counts("u1", known)
    for stream in (one, two):
        _taken(stream)
    asyncio.run(feed.mark_for(one, "read", Selection(["a"])))
    for stream, expected in ((one, asking), (two, other)):
        texts = [f'"version":{counts.version}' for counts in expected]
        found = _taken(stream)
        assert len(found) == len(texts)
        assert all(text in data for text, data in zip(texts, found, strict=True))


def test_mark_for__a_stream_that_is_not_greeted_yet_is_answered_by_the_greeting() -> None:
    """Nothing comes before it."""
    stream, hub = _stream(), Hub(0.1, bool)
    feed = _user_feed(_NEW)
    feed.hub = hub
    hub.add(stream)
    for _ in range(2):
        asyncio.run(feed.mark_for(stream, "read", Selection(["a"])))
    assert not _taken(stream)
    assert hub.counts_of("u1") == _NEW


def test_counts__are_told_to_the_streams_of_this_process() -> None:
    """Without a hub, before the deployment is known, they are answered all the same."""
    feed, hub, stream = _user_feed(_NEW), Hub(0.1, bool), _stream()
    assert asyncio.run(feed.counts("u1")) == _NEW
    hub.add(stream)
    stream.go_live()
    feed.hub = hub
    asyncio.run(feed.counts("u1"))
    assert len(_taken(stream)) == 1
