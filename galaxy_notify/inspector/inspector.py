"""Reads of a deployment for programs: what operators see on the command line, as values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar, Unpack

from galaxy_notify.errors import AlreadyClosed
from galaxy_notify.inspector.queries import (
    DeadLetterQuery,
    ListQuery,
    in_epoch_ms,
    read_once,
)
from galaxy_notify.model.ids import parse_target
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.operations.dead_letter import DeadFilter
from galaxy_notify.operations.dead_letters import read_dead_page
from galaxy_notify.operations.documents import (
    DEAD_LETTER,
    LISTED,
    SHOWN,
    STATUS,
    DeadLetterPage,
    NotificationPage,
    ShownNotification,
    Status,
)
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import MOST_ITEMS, list_notifications
from galaxy_notify.operations.show import show
from galaxy_notify.operations.status import read_status
from galaxy_notify.redis_client.access import REAL, Environment, settings_at
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.nodes import refresh_primary_sync
from galaxy_notify.redis_client.retries import SHORT_PAUSES_S, jittered
from galaxy_notify.redis_client.tries import is_final
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
P = ParamSpec("P")
_AT_ONCE: Final = 4


class Inspector(NotCopied):
    """Reads what a deployment holds and changes nothing; safe to share between threads.

    A filter that is left out means anything; several words mean any of them. Every call is bounded
    in time and in what it looks at, and raises what `Notifier` raises: `Unavailable`, its subclass
    `ServerRefused`, `Misconfigured`, `ConfigurationError`, and `AlreadyClosed` after `close`;
    `InvalidQuery` names the argument that cannot be asked for.
    """

    def __init__(self, settings: Settings, *, environment: Environment = REAL) -> None:
        """Prepare to connect as *settings* say; what the deployment agreed on is read from it."""
        self._client = environment.open_sync(settings)
        self._prefix = settings.redis.prefix
        self._has_feed = bool(settings.feed.url)
        self._is_closed = False

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return an inspector of the deployment at *url*.

        Further arguments are settings of the section ``redis``, such as ``password``.
        """
        return cls(settings_at(url, prefix, redis))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def list(
        self,
        *,
        limit: int = MOST_ITEMS,
        cursor: str | None = None,
        **query: Unpack[ListQuery],
    ) -> NotificationPage:
        """Return a page of what was accepted, the newest first; *limit* is 1 to 100.

        Filters are those of `ListQuery`: ``state``, ``type``, ``producer``, ``user``, ``since``,
        ``until``. *cursor* goes on behind an earlier page.
        """
        fields = read_once(query, ListQuery)

        def read(deployment: Deployment) -> NotificationPage:
            wanted = ListFilter(**in_epoch_ms(deployment, fields))
            page = list_notifications(deployment, wanted, limit, cursor)
            items = tuple(LISTED.validate_python(item.as_json()) for item in page.items)
            return NotificationPage(items, page.cursor, tuple(page.foreign))

        return self._read(read)

    def show(self, id: str, *, payload: bool = False) -> ShownNotification | None:
        """Explain a notification by its id, or one route by a route's or an event's id.

        None where it is unknown. *payload* adds what it says.
        """
        target = parse_target(id)
        if target is None:
            self._check_open()
            return None
        found = self._read(lambda deployment: show(deployment, target))
        return SHOWN.validate_python(found.as_json(payload=payload)) if found else None

    def status(self) -> Status:
        """Return what waits, what is late, who works and who reads, now."""
        read = partial(read_status, has_feed=self._has_feed)
        return STATUS.validate_python(self._read(read).as_json())

    def dead_letters(
        self,
        *,
        limit: int = MOST_ITEMS,
        cursor: str | None = None,
        **query: Unpack[DeadLetterQuery],
    ) -> DeadLetterPage:
        """Return a page of dead letters, the oldest first; *limit* is 1 to 100.

        Filters are those of `DeadLetterQuery`: ``channel``, ``type``, ``producer``,
        ``failure_class``, ``since``, ``until``. *cursor* goes on behind an earlier page.
        """
        fields = read_once(query, DeadLetterQuery)

        def read(deployment: Deployment) -> DeadLetterPage:
            wanted = DeadFilter(**in_epoch_ms(deployment, fields), limit=limit)
            letters, behind = read_dead_page(deployment, wanted, cursor)
            items = tuple(DEAD_LETTER.validate_python(letter.as_json()) for letter in letters)
            return DeadLetterPage(items, behind)

        return self._read(read)

    def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`."""
        self._is_closed = True
        self._client.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise AlreadyClosed.named("Inspector")

    def _read(self, read: Callable[[Deployment], T]) -> T:
        """Return what *read* finds; after a short fault it reads once more from the beginning."""
        pauses = iter(SHORT_PAUSES_S)
        while True:
            self._check_open()
            try:
                return read(self._deployment())
            except RedisFault as error:
                pause = next(pauses, None)
                if is_final(error, pause):
                    raise failed_call(error) from error
                refresh_primary_sync(self._client)
                time.sleep(jittered(pause or 0))

    def _deployment(self) -> Deployment:
        # Read each time: a long-lived inspector must see the channels of a daemon started since,
        # and must not read a new deployment on the server with the shards of the last one.
        found = run_flow_sync(self._client, adopt_deployment(self._prefix))
        return Deployment(self._client, KeySpace(self._prefix, found))


def _awaited(
    read: Callable[Concatenate[Inspector, P], T],
) -> Callable[Concatenate[AsyncInspector, P], Coroutine[Any, Any, T]]:
    """Return a read of `Inspector` as one of `AsyncInspector`."""

    @wraps(read)
    async def in_thread(self: AsyncInspector, /, *args: P.args, **options: P.kwargs) -> T:
        if self._is_closed:
            raise AlreadyClosed.named("AsyncInspector")
        call = partial(read, self._inspector, *args, **options)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    return in_thread


class AsyncInspector(NotCopied):
    """`Inspector` with await: the same arguments, values and errors.

    It may be used in one event loop after another.
    """

    # The reads are written once, for synchronous connections, and run here in a few threads of
    # their own. A second implementation would double some thousand lines for calls that are made a
    # few times a minute by people and dashboards; the threads also bound how many of them run, so
    # that they never crowd out what the loop is there for. A call that is given up goes on in its
    # thread to its end, bounded as it is: its connection is never left with a reply unread.

    def __init__(self, settings: Settings, *, environment: Environment = REAL) -> None:
        """Prepare to connect as *settings* say; what the deployment agreed on is read from it."""
        self._inspector = Inspector(settings, environment=environment)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="galaxy-notify-inspector")
        self._is_closed = False

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return an inspector of the deployment at *url*; see `Inspector.from_url`."""
        return cls(settings_at(url, prefix, redis))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    list = _awaited(Inspector.list)
    show = _awaited(Inspector.show)
    status = _awaited(Inspector.status)
    dead_letters = _awaited(Inspector.dead_letters)

    async def close(self) -> None:
        """Close the connections once running calls have ended; later ones raise `AlreadyClosed`."""
        self._is_closed = True
        # In a thread of the loop's own executor: it waits for our threads.
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._threads.shutdown()
        self._inspector.close()
