"""Streams of users inside an application: ``async for event in stream``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from galaxy_notify.errors import InvalidQuery, StreamClosed
from galaxy_notify.feed.opening import open_missing_marks
from galaxy_notify.model.cursor import UNKNOWN, Cursor, parse_cursor
from galaxy_notify.model.json_data import kind_of
from galaxy_notify.process.process_id import process_id
from galaxy_notify.realtime.arrivals import Arrival
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.consuming import EventDelivery
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.pushing import checked_push, checked_pushes, push_to_instances
from galaxy_notify.realtime.reporting import Reporting
from galaxy_notify.realtime.resident import WAIT_S, Joined, Resident, settings_for
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.user_stream import UserStream
from galaxy_notify.realtime.whereabouts import checked_user
from galaxy_notify.redis_client.access import user_name
from galaxy_notify.redis_state.gateways import GatewayRegistry
from galaxy_notify.redis_state.inbox import Inbox
from galaxy_notify.redis_state.permissions import check_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.telemetry import Telemetry

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

#: The settings of the section ``realtime`` that say something about streams of an application.
_SETTINGS: Final = (
    *("buffer_bytes", "buffer_events", "channels", "history", "history_ms", "presence_ttl_ms"),
    *("reclaim_idle_ms", "reorder_ms"),
)


class Part(Protocol):
    """What runs beside the others until it is stopped."""

    async def run(self) -> None: ...
    def stop(self) -> None: ...


class OpenStreams:
    """The streams that are open in this process."""

    def __init__(self) -> None:
        self._streams: set[UserStream] = set()

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def users(self) -> int:
        """How many users have a stream."""
        return len({stream.user for stream in self._streams})

    def add(self, stream: UserStream) -> None:
        """Take a stream."""
        self._streams.add(stream)

    def remove(self, stream: UserStream) -> None:
        """Forget a stream."""
        self._streams.discard(stream)

    def end(self, reason: str, failure: BaseException | None = None) -> None:
        """End all streams."""
        for stream in tuple(self._streams):
            stream.end(reason, failure)


class Streams(Resident):
    """Gives the users of an application their events, in the application's own event loop.

    One object serves any number of users. It is a gateway like the processes of `galaxy-notify
    gateway`: events reach it through its inbox, what a user missed is read from the user's recent
    list, and by default it also takes its share of delivering all events (``consume``). It works in
    one event loop: an application with several loops creates one in each. While Redis is away
    streams stay open, and get a ``status`` event.

    Calls raise `Unavailable` while Redis is away, `Misconfigured` if an operator has to change
    something first, `ConfigurationError` for a deployment of another format, `OtherEventLoop`, and
    `AlreadyClosed` after `close`.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare to serve by *settings*; nothing is sent before the block is entered."""
        super().__init__(settings, process_id())
        own = settings.realtime
        self._limits = BufferLimits(own.buffer_events, own.buffer_bytes)
        self._open = OpenStreams()
        self._missing = open_missing_marks(settings)
        self._serving: Instance | None = None

    @classmethod
    def from_url(
        cls, url: str, *, prefix: str = "gn", consume: bool = True, **settings: Any
    ) -> Self:
        """Return streams that take shards and names of keys from the deployment.

        Without *consume* other processes must deliver the events. Further arguments are settings of
        the section ``redis``, such as ``password``, and these of the section ``realtime``:
        ``buffer_bytes``, ``buffer_events``, ``channels``, ``history``, ``history_ms``,
        ``presence_ttl_ms``, ``reclaim_idle_ms``, ``reorder_ms``.
        """
        return cls(settings_for(url, prefix, settings, _SETTINGS, consume=consume))

    @asynccontextmanager
    async def open(
        self,
        user: str,
        cursor: str | None = None,
        *,
        issued_at: float | None = None,
        within_s: float = WAIT_S,
    ) -> AsyncIterator[UserStream]:
        """Open a stream of a user, for as long as the block lasts.

        With the *cursor* that an earlier stream of the user had last, the stream begins with what
        was missed since, or with a ``reset`` if that cannot be known. Without one it begins with
        what comes next. *issued_at* says since when the user is logged in (seconds since 1970):
        `galaxy-notify users logout` ends streams of earlier logins; without it, none.

        Raises `InvalidQuery` for an invalid user, and as described at the class if the stream has
        not begun after *within_s* seconds.
        """
        since = inf if issued_at is None else issued_at
        stream = Stream(checked_user(user), self._limits, since)
        reader, arrival = UserStream(stream), Arrival(stream, _place(cursor))
        self._begin()
        self._open.add(reader)
        try:
            await self._start(reader, arrival, within_s)
            yield reader
        finally:
            self._open.remove(reader)
            if self._serving is not None:
                self._serving.depart(stream)
            reader.end("closed")

    async def push(self, user: str, type: str, data: Any) -> int:
        """Send a message to all streams of a user, and return how many instances it reached.

        Their event has the kind ``message`` with this *type* and *data* (a JSON object). It is not
        stored: it is lost for users without a stream, and if an instance fails. Raises
        `InvalidPush`, and as described at the class; after `Unavailable` the message may have been
        sent.
        """
        pushes = [checked_push(user, type, data)]
        return await self._ask(lambda joined: push_to_instances(joined, pushes))

    async def push_multi(self, users: Iterable[str], type: str, data: Any) -> int:
        """Send a message to the streams of at most 1,000 users; otherwise as `push`."""
        pushes = checked_pushes(users, type, data)
        return await self._ask(lambda joined: push_to_instances(joined, pushes))

    async def _start(self, reader: UserStream, arrival: Arrival, within_s: float) -> None:
        """Have a stream begin, and wait until it has."""
        try:
            async with asyncio.timeout(within_s):
                while self._serving is None:
                    self._begin()
                    await self._changed.wait()
                self._serving.arrive(arrival)
                await reader.begin()
        except TimeoutError:
            raise self._unavailable(within_s) from None
        except StreamClosed:
            self._begin()  # raises what ended all streams
            raise

    async def _work(self, joined: Joined) -> None:
        keys, user = joined.key_space.keys(0), user_name(self._settings)
        await self._retry()(lambda: check_rights(joined.client, keys, Role.GATEWAY, user))
        failure: BaseException | None = None
        try:
            await self._run_parts(self._parts(joined))
        except Exception as error:
            failure = error
            raise
        finally:
            self._open.end("failed" if failure else "shutdown", failure)

    async def _run_parts(self, parts: Sequence[Part]) -> None:
        """Run parts until the end of one of them, or of all of this."""
        running = [asyncio.ensure_future(part.run()) for part in parts]
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({stopped, *running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            for part in parts:
                part.stop()
            await asyncio.wait(running)
        for task in running:
            task.result()

    def _parts(self, joined: Joined) -> Sequence[Part]:
        own, (client, key_space), name = self._settings.realtime, joined, self.instance
        attendance = Attendance(
            client, key_space, name, own.presence_ttl_ms, own.history, own.buffer_events
        )
        telemetry = Telemetry.off()
        reorder_s = own.reorder_ms / 1000
        self._serving = Instance(client, attendance, reorder_s, telemetry, self._missing)
        registry = GatewayRegistry(client, key_space, name, consumes=own.consume)
        inbox = Inbox(client, key_space.prefix, name)
        parts: list[Part] = [Reporting(registry, inbox, self._open, telemetry), self._serving]
        if own.consume:
            parts.append(EventDelivery(self._settings, name))
        self._notify()
        return parts


def _place(cursor: object) -> Cursor | None:
    if cursor is None or cursor == "":
        return None
    if not isinstance(cursor, str):
        raise InvalidQuery("cursor", f"must be the text of a cursor, not {kind_of(cursor)}")
    return parse_cursor(cursor) or UNKNOWN
