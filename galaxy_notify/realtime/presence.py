"""Presence for applications that hold connections of their own: who is connected, and where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.gateway.options import checked_name
from galaxy_notify.process.process_id import process_id
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.resident import WAIT_S, Joined, Resident, settings_for
from galaxy_notify.realtime.roll import Roll
from galaxy_notify.realtime.whereabouts import checked_user, instances_of, online_page
from galaxy_notify.redis_client.faults import Fault, RedisFault
from galaxy_notify.redis_state.recent import application_name, plain_name

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

#: Presence is renewed three times in its time to live.
_RENEW_SHARE: Final = 1 / 3
#: Users of one round trip: more would hold up Redis for others.
_TOGETHER: Final = 1000
#: A user whose presence was refused is tried again after this.
_AGAIN_S: Final = 1.0


class Registration:
    """A connection of a user, which counts from `Presence.register` until `unregister`.

    ``await`` it, or enter it as a block, to wait until other processes see it.
    """

    def __init__(self, presence: Presence, user: str, number: int) -> None:
        """Hold a registration that *presence* has counted under this number."""
        self.user = user
        self._presence = presence
        self._number = number
        self._is_over = False

    def __await__(self) -> Generator[Any, None, Self]:
        return self._noted().__await__()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *_: object) -> None:
        await self.unregister()

    async def unregister(self) -> None:
        """End the registration, and wait until other processes see that; again does nothing.

        It is ended at once, also if the call is cancelled. While Redis is away it waits for seconds
        at most: the presence ends when Redis answers, or expires.
        """
        if self._end():
            with suppress(GalaxyNotifyError):
                await self._presence.settled(self.user, self._number)

    async def _noted(self) -> Self:
        try:
            await self._presence.settled(self.user, self._number)
        except BaseException:
            self._end()
            raise
        return self

    def _end(self) -> bool:
        """Return whether the registration ended by this call."""
        if self._is_over:
            return False
        self._is_over = True
        self._number = self._presence.forget(self.user)
        return True


class Presence(Resident):
    """Says who is connected, for applications that hold the connections themselves.

    A user is online while any process has a registration or a stream of the user: of this class, of
    `Streams`, or of `galaxy-notify gateway`. Registrations are renewed in the background. If the
    process dies, they expire after ``presence_ttl_ms``. An object works in one event loop: an
    application with several loops creates one in each.

    Calls raise `InvalidQuery` for an invalid user, `Unavailable` while Redis is away,
    `Misconfigured` if an operator has to change something first, `ConfigurationError` for a
    deployment of another format, `OtherEventLoop`, and `AlreadyClosed` after `close`.
    """

    def __init__(self, settings: Settings, *, instance: str = "") -> None:
        """Prepare; nothing is sent before the first call.

        *instance* is what `locate` says of the users of this process: 1 to 128 of letters, digits,
        . _ : @ -; no other living process may have the same. Empty: host, process number and random
        digits.
        """
        name = checked_name("instance", instance) if instance else process_id()
        super().__init__(settings, name)
        self._roll = Roll()
        # Users to renew, the last one first.
        self._renewing: list[str] = []
        self._renew_s = settings.realtime.presence_ttl_ms / 1000 * _RENEW_SHARE
        self._renew_at = 0.0
        self._asked = asyncio.Event()

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", instance: str = "", **settings: Any) -> Self:
        """Return presence that takes shards and names of keys from the deployment.

        Further arguments are ``presence_ttl_ms``, and settings of the section ``redis``, such as
        ``password``.
        """
        return cls(settings_for(url, prefix, settings, ["presence_ttl_ms"]), instance=instance)

    def register(self, user: str) -> Registration:
        """Register a connection of a user; any number for each user.

        ``await presence.register(user)`` returns once other processes see it, and ends it again if
        that fails; ``async with presence.register(user):`` also ends it with the block. Without
        either, it is seen as soon as Redis answers.
        """
        name = checked_user(user)
        self._begin()
        number = self._roll.add(name)
        self._asked.set()
        return Registration(self, name, number)

    async def is_online(self, user: str) -> bool:
        """Return whether a user is connected anywhere."""
        return bool(await self.locate(user))

    async def locate(self, user: str) -> Sequence[str]:
        """Return the names of the instances that hold connections of a user, sorted."""
        name = checked_user(user)
        found = await self._ask(lambda joined: instances_of(joined, [name]))
        return tuple(sorted({plain_name(one) for one in found[name]}))

    async def online_users(self) -> AsyncIterator[str]:
        """Yield the users who are connected, in no order.

        They are read in small pages, which walk over all keys of the server. One who connects or
        leaves meanwhile may be missing; one may come twice.
        """
        following = "0 0"
        while following:
            users, following = await self._ask(partial(online_page, begin=following))
            for user in users:
                yield user

    # --- for registrations ---

    async def settled(self, user: str, number: int) -> None:
        """Wait until presence says the same as a change of the roll; raise as described above."""
        await self._wait_until(lambda: self._roll.is_settled(user, number), WAIT_S)

    def forget(self, user: str) -> int:
        """Remove a registration of a user; return the number of the change."""
        number = self._roll.remove(user)
        self._asked.set()
        return number

    # --- the work in the background ---

    async def _work(self, joined: Joined) -> None:
        ttl_ms = self._settings.realtime.presence_ttl_ms
        attendance = Attendance(*joined, application_name(self.instance), ttl_ms, history=0)
        retry = self._retry()
        try:
            while not self._stop:
                if not self._renewing and self._renew_at <= monotonic():
                    self._renew_at = monotonic() + self._renew_s
                    self._renewing = list(self._roll.users)
                if await retry(lambda: self._settle(attendance)):
                    await self._stop.wait(_AGAIN_S)
                elif not (self._roll.has_open or self._renewing):
                    await self._rest()
        finally:
            with suppress(RedisFault):
                await attendance.leave(self._roll.known)

    async def _settle(self, attendance: Attendance) -> bool:
        """Have presence say what the roll says; return whether Redis refused that of a user.

        One loop does it all: a renewal never overtakes the end of a registration.
        """
        changes = self._roll.open_changes(_TOGETHER)
        renewed = [user for user in self._renewing[-_TOGETHER:] if user in self._roll]
        here = {user for user in changes if user in self._roll}.union(renewed)
        await attendance.leave([user for user in changes if user not in here])
        attended = await attendance.attend(sorted(here)) if here else {}
        del self._renewing[-_TOGETHER:]
        refused = here - attended.keys()
        self._roll.settle(changes, unless=refused)
        self._last_fault = None
        self._notify()
        return bool(refused)

    async def _rest(self) -> None:
        """Wait for a change, or until it is time to renew."""
        self._asked.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._renew_at - monotonic())):
                await self._asked.wait()

    async def _recover(self, fault: Fault) -> bool:
        # What Redis lost meanwhile is noted again as soon as it answers.
        self._renewing = list(self._roll.users)
        return await super()._recover(fault)

    def _end(self) -> None:
        super()._end()
        self._asked.set()
