"""Reads the gateway streams of a deployment as one consumer of a group."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

import galaxy_notify
from galaxy_notify.errors import AlreadyClosed, ConfigurationError, Unavailable
from galaxy_notify.gateway.handler import BatchHandler, BatchRunner, Handler, HandlerRunner
from galaxy_notify.gateway.options import ConsumerOptions, checked_name
from galaxy_notify.gateway.shard import ShardReader
from galaxy_notify.model.callables import check_callable
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.redis_client.access import settings_at
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped, together
from galaxy_notify.redis_client.failed_calls import failed_call, refuse_permanent
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, Fault, RedisFault
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.consumer_connection import ConsumerConnection
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.group_report import GroupReport
from galaxy_notify.redis_state.shared_settings import STATE_FORMAT
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

_UNKNOWN: Final = GroupReport(lag=None, pending=0, oldest_pending_s=None, lost=None)


class GatewayConsumer(NotCopied):
    """Delivers every event of the gateway streams to a handler, at least once.

    The group is created at the start of the stream of each shard, unless ``history_s`` says
    otherwise. An event is acknowledged after its handler, together with a mark of its ``event_id``
    in Redis, so that another delivery is not handled again. A crash, or an outage longer than
    ``reclaim_idle_s``, repeats events that were handled but not yet marked: on each shard at most
    64 events and those in flight. So a handler must de-duplicate effects that must not happen
    twice. If a handler raises, its event is delivered again later, while others continue. An event
    that fails ten times, or cannot be read, is parked with the reason. Consumers of a group share
    its events; each needs its own name, and should keep it over restarts. Within a shard events
    come in the order of publishing, see `ConsumerOptions`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        group: str,
        consumer: str,
        options: ConsumerOptions | None = None,
    ) -> None:
        """Prepare; nothing is sent before `run` or `report`."""
        load_all()
        self.group = checked_name("group", group)
        self.consumer = checked_name("consumer", consumer)
        self._settings = settings
        self._options = options or ConsumerOptions()
        self._connection: ConsumerConnection | None = None
        self._stop = StopFlag()
        self._is_closed = False
        self._runner: HandlerRunner | None = None
        self._log = get_logger("gateway", group=group, consumer=consumer)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        group: str,
        consumer: str,
        prefix: str = "gn",
        options: ConsumerOptions | None = None,
        **redis: Any,
    ) -> Self:
        """Return a consumer that takes shards and streams from the deployment.

        Further arguments are settings of the section ``redis``, such as ``password``.
        """
        settings = settings_at(url, prefix, redis)
        return cls(settings, group=group, consumer=consumer, options=options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closed = True
        self.stop()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        if self._runner is None:
            self._stop = StopFlag()

    async def run(self, handler: Handler) -> None:
        """Deliver events to the handler until `stop`, also across outages of Redis.

        A stop, or a cancellation, first waits up to ``stop_within_s`` for running handlers. After
        that it may run again, also in another event loop. Raises `ConfigurationError` if the
        handler is not a coroutine function of one event, if Redis refuses access at the start, or
        if the deployment has another state format; `AlreadyClosed` after the end of the block. Any
        other error is a defect.
        """
        self._check_open()
        check_callable("handler", handler, ("event",), asynchronous=True)
        await self._run_until_stopped(HandlerRunner(handler, self._options.timeout_s))

    async def run_batches(self, handler: BatchHandler) -> None:
        """Deliver events to the handler, many at once, until `stop`; otherwise as `run`.

        The handler gets a list of 1 to ``batch_max`` events of one shard, in the order of the
        stream, and returns None if it handled all of them, or a mapping of the ``event_id`` of each
        that failed to the reason: an exception or any text. The others are acknowledged. A failed
        event is delivered again later, alone, in a list of one; if the reason is a `Corrupt`, it is
        parked at once. If the handler raises, exceeds ``handler_timeout_s``, or returns anything
        else, such as the id of an event that it was not given, all its events count as failed.

        A crash repeats one batch of each shard: together once, event by event after another crash.
        Raises also `ConfigurationError` if ``max_deliveries`` is 1, because a failing batch must be
        delivered again event by event.
        """
        self._check_open()
        check_callable("handler", handler, ("events",), asynchronous=True)
        if self._options.max_deliveries == 1:
            raise ConfigurationError("max_deliveries: run_batches needs 2 or more")
        await self._run_until_stopped(BatchRunner(handler, self._options.timeout_s))

    def stop(self) -> None:
        """End `run` soon; call it from the thread of its event loop."""
        self._stop.set()
        if self._runner is not None:
            self._runner.stop_within(self._options.stop_within_s)

    async def report(self) -> dict[int, GroupReport]:
        """Return the state of the group on each shard.

        Raises `Unavailable` if Redis is away, `Misconfigured` if it refuses access, and
        `AlreadyClosed` after the end of the block.
        """
        self._check_open()
        try:
            connection = self._connection or await self._open()
            if connection is None:
                raise Unavailable(NO_DEPLOYMENT.text)
            reports = await connection.reports()
        except RedisFault as error:
            raise failed_call(error) from error
        return {shard: groups.get(self.group, _UNKNOWN) for shard, groups in reports.items()}

    def _check_open(self) -> None:
        if self._is_closed:
            raise AlreadyClosed.named(type(self).__name__)

    async def _run_until_stopped(self, runner: HandlerRunner) -> None:
        self._runner = runner
        work = asyncio.ensure_future(self._run(runner))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait([work])
            raise
        finally:
            self._stop, self._runner = StopFlag(), None

    async def _run(self, runner: HandlerRunner) -> None:
        log, stagger = OutageLog(EdgeLog(get_logger("gateway", group=self.group))), Stagger()
        try:
            connection = await self._connected(log, stagger)
        except Stopped:
            return
        readers = [
            ShardReader(
                GroupMember(
                    connection.at_shard(keys),
                    keys,
                    self.group,
                    self.consumer,
                    self._options.history_ms,
                ),
                self._options,
                runner,
                self._stop,
                log,
                stagger,
            )
            for keys in connection.key_space.all_keys
        ]
        self._log.info("consumer started", shards=len(readers))
        await together(self._stop, *(reader.run() for reader in readers))
        self._log.info("consumer stopped")

    async def _connected(self, log: OutageLog, stagger: Stagger) -> ConsumerConnection:
        """Return a connection, as soon as there is a deployment to read."""
        retry = RetryUntilStopped(self._stop, log, stagger, _wait_unless_refused)
        is_logged = False
        while True:
            connection = self._connection or await retry(self._open)
            if connection is not None:
                return connection
            if not is_logged:
                self._log.info("waiting for a deployment at this prefix")
                is_logged = True
            if await self._stop.wait(1.0):
                raise Stopped

    async def _open(self) -> ConsumerConnection | None:
        connection = await ConsumerConnection.open(
            self._settings, f"galaxy-notify/{galaxy_notify.__version__}"
        )
        if connection is not None and (found := connection.key_space.shared.format) != STATE_FORMAT:
            await connection.close()
            raise ConfigurationError(
                f"this deployment has state format {found}, this version reads {STATE_FORMAT}:"
                " run the version that wrote it"
            )
        self._connection = connection
        return connection


async def _wait_unless_refused(fault: Fault) -> bool:
    refuse_permanent(fault)
    return False
