"""The paths of a user's preferences: the user is that of the token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from galaxy_notify.intake.rules.preferences import resumed, silenced
from galaxy_notify.realtime.answers import answer_json
from galaxy_notify.realtime.own_preferences import OwnPreferences
from galaxy_notify.realtime.request import Request, Send
from galaxy_notify.realtime.turns import Turns
from galaxy_notify.realtime.ways_in import WaysIn
from galaxy_notify.web.preferences import (
    ANY,
    LIMITS,
    Shown,
    change,
    expected_digests,
    preference_problems,
    put,
    shown,
)
from galaxy_notify.web.problems import Problem

#: Calls at the same time, of all users and of one of them: streams need the connections too.
_MOST: Final = 64
_MOST_OF_USER: Final = 8
_UNCHECKED: Final = (b"if-none-match", b"if-unmodified-since")


class PreferencePaths:
    """Answers what users ask of their preferences, and changes them."""

    def __init__(self, ways_in: WaysIn) -> None:
        self._ways_in = ways_in
        self._turns = Turns(_MOST, _MOST_OF_USER)

    async def whole(self, request: Request, send: Send) -> None:
        """Answer with all that the user has chosen, or replace it, as the method says."""
        if request.method == "PUT":
            await self._put(request, send)
        else:
            await self._get(request, send)

    async def _get(self, request: Request, send: Send) -> None:
        user, serving = await self._ways_in.known(request, only_reads=True)
        request.asked()
        async with self._call(serving.preferences, self._turns.reading(user.name)):
            found = await shown(serving.preferences, user.name)
        await self._answer(request, send, found)

    async def _put(self, request: Request, send: Send) -> None:
        user, serving = await self._ways_in.known(request, only_reads=False)
        expected = _expected(request)
        body = await request.json(LIMITS)
        async with self._call(serving.preferences, self._turns.changing(user.name)):
            found = await put(serving.preferences, user.name, body, expected)
        await self._answer(request, send, found)

    async def silence(self, request: Request, send: Send) -> None:
        """Silence the user, or end it, as the last part of the path says."""
        user, serving = await self._ways_in.known(request, only_reads=False)
        expected = _expected(request)
        made = silenced if request.path.endswith("/silence") else resumed
        async with self._call(serving.preferences, self._turns.changing(user.name)):
            found = await change(serving.preferences, made(user.name), expected)
        await self._answer(request, send, found)

    @staticmethod
    @asynccontextmanager
    async def _call(
        stored: OwnPreferences, turn: AbstractAsyncContextManager[None]
    ) -> AsyncIterator[None]:
        async with turn:
            with stored.problems(), preference_problems():
                yield

    async def _answer(self, request: Request, send: Send, found: Shown) -> None:
        own = [(name.lower().encode(), value.encode()) for name, value in found.headers.items()]
        await answer_json(send, found.document, [*own, *self._ways_in.cors_for(request)])


def _expected(request: Request) -> tuple[str, ...]:
    """Return the digests that a change depends on; raise a `Problem` for other conditions."""
    request.asked()
    for name in _UNCHECKED:
        if name in request.headers:
            detail = f"{name.decode().title()}: only If-Match is supported"
            raise Problem("precondition-failed", detail)
    return tuple(expected_digests(request.headers.get(b"if-match", ANY)))
