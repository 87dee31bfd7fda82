"""What clients say: read, done in order, and answered one by one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from galaxy_notify.feed.asked import Selection
from galaxy_notify.realtime.client_messages import ClientMessages, read_message
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.user_feed import UserFeed
from galaxy_notify.web.problems import Problem

_ID = "0" * 31 + "1"
_MESSAGE = b'{"read":{"all":true}}'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (_MESSAGE, ("read", Selection(None))),
        (b'{"seen":{"ids":["%s"]}}' % _ID.encode(), ("seen", Selection([_ID]))),
        (b' {"read" : {"all":true,"until":"%s"}}' % _ID.encode(), ("read", Selection(None, _ID))),
    ],
)
def test_message__names_a_mark_and_what_it_marks(text: bytes, found: Any) -> None:
    """With the objects that HTTP takes."""
    assert read_message(text) == found


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", 400),
        (b"[" * 70, 400),
        (b"1", 422),
        (b'{"read":{"all":true},"seen":{"all":true}}', 422),
        (b'{"unread":{"all":true}}', 422),
        (b"[" + b"[]," * 2000 + b"[]]", 413),
    ],
)
def test_message__that_is_wrong_is_a_problem(text: bytes, status: int) -> None:
    """Of the same kinds as over HTTP."""
    with pytest.raises(Problem) as raised:
        read_message(text)
    assert raised.value.status == status


class _Feed:
    """Marks when the test lets it."""

    def __init__(self) -> None:
        self.marked: list[str] = []
        self.go_on = asyncio.Event()

    async def mark_for(self, stream: Stream, mark: str, _: Selection) -> None:
        await self.go_on.wait()
        self.marked.append(mark)


def _run(scenario: Callable[[ClientMessages, _Feed, Stream], Awaitable[None]]) -> None:
    async def run() -> None:
        feed = _Feed()
        messages = ClientMessages(cast("UserFeed", feed))
        await scenario(messages, feed, Stream("u1", BufferLimits(999, 1 << 20)))
        assert not messages._waiting
        assert not messages._tasks

    asyncio.run(run())


async def _done(messages: ClientMessages) -> None:
    while messages._tasks:
        await asyncio.wait(messages._tasks)
        await asyncio.sleep(0)


def _errors(stream: Stream) -> list[Any]:
    found = []
    while (message := stream.take()) is not None:
        assert message.kind == "error"
        found.append(json.loads(message.data))
    return found


def test_messages__are_done_in_order() -> None:
    """Those that came meanwhile too; behind them the next one begins again."""

    async def scenario(messages: ClientMessages, feed: _Feed, stream: Stream) -> None:
        for mark in ("read", "seen", "read"):
            messages.hear(stream, json.dumps({mark: {"all": True}}).encode())
        feed.go_on.set()
        await _done(messages)
        messages.hear(stream, _MESSAGE)
        await _done(messages)
        assert feed.marked == ["read", "seen", "read", "read"]
        assert not _errors(stream)

    _run(scenario)


def test_messages__that_are_too_many_are_refused() -> None:
    """Each with an answer; those of others are not affected."""

    async def scenario(messages: ClientMessages, feed: _Feed, stream: Stream) -> None:
        other = Stream("u1", BufferLimits(9, 9999))
        for _ in range(20):
            messages.hear(stream, _MESSAGE)
        messages.hear(other, _MESSAGE)
        assert [problem["status"] for problem in _errors(stream)] == [503] * 4
        feed.go_on.set()
        await _done(messages)
        assert len(feed.marked) == 17
        assert not _errors(other)

    _run(scenario)


def test_messages__that_are_too_large_together_are_refused() -> None:
    """Two of the longest ones wait, whatever Postgres does."""

    async def scenario(messages: ClientMessages, feed: _Feed, stream: Stream) -> None:
        longest = _MESSAGE.ljust(1 << 16)
        for text in (longest, longest, _MESSAGE):
            messages.hear(stream, text)
        assert [problem["status"] for problem in _errors(stream)] == [503]
        feed.go_on.set()
        await _done(messages)
        assert len(feed.marked) == 2

    _run(scenario)


def test_message__that_is_wrong_keeps_none_behind_it() -> None:
    """It is answered, and the next one is done."""

    async def scenario(messages: ClientMessages, feed: _Feed, stream: Stream) -> None:
        feed.go_on.set()
        for text in (b"x", _MESSAGE):
            messages.hear(stream, text)
        await _done(messages)
        assert [problem["status"] for problem in _errors(stream)] == [400]
        assert feed.marked == ["read"]

    _run(scenario)
