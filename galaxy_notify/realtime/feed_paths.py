"""The paths of a user's feed: the user is that of the token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.feed.asked import (
    checked_limit,
    checked_severity,
    checked_types,
    selected,
)
from galaxy_notify.feed.page_text import page_text
from galaxy_notify.model.refusals import shown
from galaxy_notify.realtime.answers import answer, answer_json
from galaxy_notify.realtime.request import Request, Send
from galaxy_notify.realtime.turns import Turns
from galaxy_notify.realtime.user_feed import PageQuery, UserFeed, invalid
from galaxy_notify.realtime.ways_in import WaysIn

_JSON: Final = (b"content-type", b"application/json")
_NUMBER: Final = re.compile("[0-9]{1,9}")
_WORDS: Final = {"true": True, "false": False}
_MOST_TYPES: Final = 20
#: Pages of more bytes that clients have not read at the same time: of all users, and of one. They
#: are in memory for as long as a client reads them.
_LARGE: Final = 1 << 16
_MOST_LARGE: Final = 64
_MOST_LARGE_OF_USER: Final = 8
_PARAMETERS: Final = ("limit", "cursor", "unread", "type", "severity", "archived")


class FeedPaths:
    """Answers what users ask of their feeds."""

    def __init__(self, ways_in: WaysIn, feed: UserFeed) -> None:
        self._ways_in = ways_in
        self._feed = feed
        self._large = Turns(_MOST_LARGE, _MOST_LARGE_OF_USER)

    async def page(self, request: Request, send: Send) -> None:
        """Answer with a page of items, newest first."""
        user = await self._ways_in.known_user(request, only_reads=True)
        try:
            query = page_query(request.asked(*_PARAMETERS))
        except InvalidQuery as error:
            raise invalid(error) from None
        body = page_text(await self._feed.page(user.name, query))
        headers = [_JSON, *self._ways_in.cors_for(request)]
        if len(body) <= _LARGE:
            await answer(send, 200, body, headers)
            return
        async with self._large.reading(user.name):
            await answer(send, 200, body, headers, until_read=True)

    async def counts(self, request: Request, send: Send) -> None:
        """Answer with the counts."""
        user = await self._ways_in.known_user(request, only_reads=True)
        request.asked()
        counts = await self._feed.counts(user.name)
        await answer_json(send, counts.document(), self._ways_in.cors_for(request))

    async def mark(self, request: Request, send: Send) -> None:
        """Mark what the body names, as the last part of the path says; answer with the counts."""
        user = await self._ways_in.known_user(request, only_reads=False)
        request.asked()
        try:
            wanted = selected(await request.json())
        except InvalidQuery as error:
            raise invalid(error) from None
        mark = request.path.rpartition("/")[2]
        counts = await self._feed.mark(user.name, mark, wanted)
        await answer_json(send, counts.document(), self._ways_in.cors_for(request))


def page_query(asked: Mapping[str, Sequence[str]]) -> PageQuery:
    """Return the query that the parameters name; raise `InvalidQuery`. A type may be repeated."""
    types = asked.get("type", ())
    if len(types) > _MOST_TYPES:
        raise InvalidQuery("type", f"is given more than {_MOST_TYPES} times")
    limit = _single(asked, "limit")
    number = int(limit) if limit is not None and _NUMBER.fullmatch(limit) else limit
    return PageQuery(
        PageQuery().limit if number is None else checked_limit(number),
        _single(asked, "cursor"),
        _flag(asked, "unread"),
        checked_types(types),
        checked_severity(_single(asked, "severity")),
        _flag(asked, "archived"),
    )


def _flag(asked: Mapping[str, Sequence[str]], name: str) -> bool:
    given = _single(asked, name) or "false"
    if given not in _WORDS:
        raise InvalidQuery(name, f"must be true or false, not {shown(given)}")
    return _WORDS[given]


def _single(asked: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = asked.get(name, ())
    if len(values) > 1:
        raise InvalidQuery(name, "is given more than once")
    return values[0] if values else None
