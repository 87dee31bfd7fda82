"""What clients say over their WebSockets: that items were read or seen."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from galaxy_notify.errors import InvalidIntent, InvalidQuery
from galaxy_notify.feed.asked import Selection, selected
from galaxy_notify.model.json_data import kind_of, printable
from galaxy_notify.model.json_text import parse_json
from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.realtime.message import failed
from galaxy_notify.realtime.stream import Stream
from galaxy_notify.realtime.user_feed import UserFeed, invalid
from galaxy_notify.web.bodies import SHORT, not_json
from galaxy_notify.web.problems import Problem, fault, retry_after

#: Messages of one client that wait, with the one that is being done, and their bytes: twice those
#: of the longest message. More are refused.
_WAITING: Final = 16
_WAITING_BYTES: Final = 1 << 17
_MARKS: Final = ("read", "seen")


class ClientMessages:
    """Does what clients say, one message of each after the other, and answers every one."""

    def __init__(self, feed: UserFeed) -> None:
        self._feed = feed
        self._waiting: dict[Stream, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, stream: Stream, text: bytes) -> None:
        """Take a message; its answer is the counts, or what is wrong with it."""
        waiting = self._waiting.get(stream)
        if waiting is None:
            self._waiting[stream] = [text]
            task = asyncio.get_running_loop().create_task(self._work(stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(waiting) < _WAITING and sum(map(len, waiting), len(text)) <= _WAITING_BYTES:
            waiting.append(text)
        else:
            busy = Problem("busy", "too many messages wait", (), retry_after(retry_ms()))
            stream.put(failed(busy.body.decode()))

    async def _work(self, stream: Stream) -> None:
        """Do all that waits, also where the client leaves meanwhile."""
        waiting = self._waiting[stream]
        try:
            while waiting:
                await self._do(stream, waiting[0])
                waiting.pop(0)
        finally:
            del self._waiting[stream]

    async def _do(self, stream: Stream, text: bytes) -> None:
        try:
            mark, wanted = read_message(text)
            await self._feed.mark_for(stream, mark, wanted)
        except Problem as problem:
            stream.put(failed(problem.body.decode()))


def read_message(text: bytes) -> tuple[str, Selection]:
    """Return which mark a message makes, and of what; raise a `Problem`."""
    try:
        document = parse_json(text, "the message", SHORT)
    except InvalidIntent as error:
        raise not_json(error) from None
    mark = _mark(document)
    try:
        return mark, selected(document[mark])
    except InvalidQuery as error:
        raise invalid(error, mark) from None


def _mark(document: Any) -> str:
    if not isinstance(document, dict):
        raise _wrong("", f"must be an object, not {kind_of(document)}")
    for name in document:
        if name not in _MARKS:
            raise _wrong(printable(name), "unknown field")
    if len(document) != 1:
        raise _wrong("", f"must have one of the fields {' and '.join(_MARKS)}")
    return str(next(iter(document)))


def _wrong(field: str, message: str) -> Problem:
    detail = f"{field or 'the message'}: {message}"
    return Problem("invalid", detail, [fault(field, message)])
