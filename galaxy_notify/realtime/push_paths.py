"""The paths by which browsers subscribe to web push: the user is that of the token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from galaxy_notify.errors import InvalidContact
from galaxy_notify.realtime.answers import answer, answer_json
from galaxy_notify.realtime.request import Request, Send
from galaxy_notify.realtime.turns import Turns
from galaxy_notify.realtime.ways_in import WaysIn
from galaxy_notify.web.problems import Problem, fault

if TYPE_CHECKING:
    from galaxy_notify.channels.push_subscriptions import PushSubscriptions

#: Calls at the same time, of all users and of one of them: streams need the connections too.
_MOST: Final = 64
_MOST_OF_USER: Final = 8
_CONFLICTS: Final = ("conflict", "too_large")


class PushPaths:
    """Answers browsers that subscribe, or end it."""

    def __init__(self, ways_in: WaysIn, stored: PushSubscriptions) -> None:
        self._ways_in = ways_in
        self._stored = stored
        self._turns = Turns(_MOST, _MOST_OF_USER)

    async def key(self, request: Request, send: Send) -> None:
        """Answer with the public key that browsers subscribe with."""
        await self._ways_in.known_user(request, only_reads=True)
        with _invalid():
            key = self._stored.key(self._channel(request))
        await answer_json(send, key._asdict(), self._ways_in.cors_for(request))

    async def subscribe(self, request: Request, send: Send) -> None:
        """Store the subscription in the body; a repeated one has the same id."""
        user, serving = await self._ways_in.known(request, only_reads=False)
        own = serving.subscriptions
        with _invalid():
            wanted = self._stored.read(await request.json(), self._channel(request))
        async with self._turns.changing(user.name):
            with own.problems(), _not_stored():
                name = await own.put(self._stored, user.name, wanted)
        cors = self._ways_in.cors_for(request)
        await answer_json(send, {"id": name}, cors, status=201)

    async def unsubscribe(self, request: Request, send: Send) -> None:
        """Remove the subscription that the path names."""
        user, serving = await self._ways_in.known(request, only_reads=False)
        request.asked()
        own, name = serving.subscriptions, request.path.rpartition("/")[2]
        async with self._turns.changing(user.name):
            with own.problems():
                was_there = await own.remove(self._stored, user.name, name)
        if not was_there:
            raise Problem("not-found", "the user has no such subscription")
        await answer(send, 204, b"", self._ways_in.cors_for(request))

    def _channel(self, request: Request) -> str:
        """Return the channel that is asked for, or the only one."""
        given: Sequence[str | None] = request.asked("channel").get("channel", (None,))
        return self._stored.channel(given[-1])


@contextmanager
def _invalid() -> Iterator[None]:
    """Answer 422 for what is not valid."""
    try:
        yield
    except InvalidContact as error:
        errors = [fault(error.field, error.message, error.code)]
        raise Problem("invalid", str(error), errors) from None


@contextmanager
def _not_stored() -> Iterator[None]:
    """Answer 409 for what is valid, and cannot be stored beside what there is."""
    try:
        yield
    except InvalidContact as error:
        kind = "conflict" if error.code in _CONFLICTS else "invalid"
        errors = [fault(error.field, error.message, error.code)]
        raise Problem(kind, str(error), errors) from None
