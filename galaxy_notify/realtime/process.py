"""The life of a gateway process: listen, join, serve and deliver, drain, stop."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Protocol

import uvicorn

from galaxy_notify import __version__
from galaxy_notify.channels.push_subscriptions import open_subscriptions
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.feed.opening import open_missing_marks
from galaxy_notify.process.closing import close_soon
from galaxy_notify.process.end_signals import EndSignals
from galaxy_notify.process.join import DeploymentJoin
from galaxy_notify.process.open_files import raise_limit
from galaxy_notify.process.process_id import process_id
from galaxy_notify.process.supervisor import environ_supervisor
from galaxy_notify.realtime.access import Access
from galaxy_notify.realtime.app import App
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.connections import Connections
from galaxy_notify.realtime.consuming import EventDelivery
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.readiness import Readiness
from galaxy_notify.realtime.reporting import Reporting
from galaxy_notify.realtime.user_feed import open_user_feed
from galaxy_notify.redis_client.access import open_async, user_name
from galaxy_notify.redis_client.faults import REDIS_ERRORS, RedisFault, Remedy
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.scripts import load_all
from galaxy_notify.redis_state.gateways import GatewayRegistry
from galaxy_notify.redis_state.inbox import Inbox
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.permissions import check_rights
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry.logs import configure_logs, get_logger
from galaxy_notify.telemetry.prometheus import start_scraped
from galaxy_notify.web.connection import LentProtocol
from galaxy_notify.web.server import SupervisedServer
from galaxy_notify.web.sockets import (
    BACKLOG,
    Listener,
    check_host,
    give_up_soon,
    listen,
    listen_error,
    url_of,
)

#: What a stop takes beside the drain: connections, Redis, telemetry.
_LEAVING_S: Final = 12.0
#: One blocks to read the inbox; the others carry presence, lists and telling.
_CONNECTIONS: Final = 8
_KEEP_ALIVE_S: Final = 75
#: Files beside the connections of clients: listeners, Redis, the log.
_OWN_FILES: Final = 100
#: How long a client may leave what was sent to it unacknowledged.
_VANISHED_S: Final = 15
_RELOADABLE: Final = frozenset(
    f"realtime.{name}"
    for name in (
        *("allowed_origins", "audience", "cookie", "jwt_algorithm", "jwt_issuer", "jwt_key"),
        *("jwt_leeway_ms", "jwt_secret", "metrics_token"),
    )
)


class Part(Protocol):
    """What runs beside the others until it is stopped."""

    async def run(self) -> None: ...
    def stop(self) -> None: ...


class GatewayProcess:
    """One process of the gateway; it listens whether Redis answers or not."""

    def __init__(
        self, settings: Settings, sockets: list[Listener], read_settings: Callable[[], Settings]
    ) -> None:
        """Prepare; raise `ConfigurationError` for a key or a feed that cannot be used.

        *read_settings* returns the settings again after SIGHUP.
        """
        load_all()
        self.instance_id = process_id()
        self._settings = settings
        self._read_settings = read_settings
        self._sockets = sockets
        self._log = get_logger("realtime", instance=self.instance_id)
        about = {"service.name": "galaxy-notify-gateway", "service.version": __version__}
        self._scraped = start_scraped(about | {"service.instance.id": self.instance_id})
        self._telemetry = self._scraped.telemetry
        self._connections = Connections(settings.realtime, self._telemetry)
        self._readiness = Readiness()
        self._missing = open_missing_marks(settings)
        self._feed = open_user_feed(settings, self._telemetry)
        self._app = App(
            settings.realtime,
            self._connections,
            self._readiness,
            self._scraped,
            self._feed,
            open_subscriptions(settings),
        )
        self._supervisor = environ_supervisor()
        self._stop = asyncio.Event()
        self._signals = EndSignals(
            self._on_stop_signal,
            lambda name: self._log.warning("gateway exiting immediately", signal=name),
            settings.realtime.drain_ms / 1000 + _LEAVING_S,
            self._reload_settings,
        )
        self._client = open_async(
            settings, connections=_CONNECTIONS, name=f"galaxy-notify-{self.instance_id}"
        )
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            http=LentProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        self._web = SupervisedServer(config, self._supervisor)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

        Raises `ConfigurationError` for a deployment that this version cannot read, or where Redis
        refuses access.
        """
        self._signals.listen()
        gc.freeze()
        own = self._settings.realtime
        about = {"urls": [url_of(one) for one in self._sockets], "version": __version__}
        self._log.info("gateway started", pid=os.getpid(), **about)
        if own.serve and (files := raise_limit()) < own.max_connections + _OWN_FILES:
            self._log.warning("open files limited", files=files, connections=own.max_connections)
        serving = asyncio.create_task(self._web.serve([*self._sockets]))
        working = asyncio.create_task(self._work())
        try:
            await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stop.set()
            self._web.should_exit = True
            await asyncio.wait({serving, working})
            if self._feed is not None:
                await close_soon(self._feed)
            with suppress(*REDIS_ERRORS):
                await self._client.aclose()
            self._telemetry.shutdown()
            self._signals.disarm()
        for task in (working, serving):
            task.result()
        self._log.info("gateway stopped", drain_ms=own.drain_ms)

    async def _work(self) -> None:
        """Join the deployment, run the parts, and drain."""
        joining = DeploymentJoin(
            self._join, self._telemetry, self._supervisor, self._web.pulse, self._log
        )
        key_space = await joining.run(self._stop)
        if key_space is not None:
            await self._run_parts(key_space)

    async def _join(self) -> KeySpace:
        """Take shards and streams from the deployment; one attempt."""
        prefix = self._settings.redis.prefix
        try:
            keys, user = Keys(prefix, 0), user_name(self._settings)
            await check_rights(self._client, keys, Role.GATEWAY, user)
            return KeySpace(prefix, await run_flow(self._client, adopt_deployment(prefix)))
        except RedisFault as error:
            if error.fault.remedy is Remedy.RESOLVE:
                await refresh_primary(self._client)
            raise

    async def _run_parts(self, key_space: KeySpace) -> None:
        """Serve and deliver until the stop; what delivers goes on until all clients have left."""
        parts = self._parts(key_space)
        running = [asyncio.ensure_future(part.run()) for part in parts]
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({stopped, *running}, return_when=asyncio.FIRST_COMPLETED)
            self._readiness.stop()
            if self._stop.is_set():
                self._web.stop_listening()
                await self._connections.drain()
        finally:
            stopped.cancel()
            for part in parts:
                part.stop()
            await asyncio.wait(running)
        for task in running:
            task.result()

    def _parts(self, key_space: KeySpace) -> list[Part]:
        own, client, name = self._settings.realtime, self._client, self.instance_id
        registry = GatewayRegistry(client, key_space, name, consumes=own.consume, serves=own.serve)
        inbox = Inbox(client, key_space.prefix, name)
        reporting = Reporting(
            registry, inbox, self._connections, self._telemetry, self._supervisor.status
        )
        self._readiness.write = reporting.write
        parts: list[Part] = [reporting]
        if own.serve:
            attendance = Attendance(
                client, key_space, name, own.presence_ttl_ms, own.history, own.buffer_events
            )
            reorder_s, missing = own.reorder_ms / 1000, self._missing
            instance = Instance(client, attendance, reorder_s, self._telemetry, missing)
            if self._app.ways_in is not None:
                self._app.ways_in.begin(instance, client, key_space)
            if self._feed is not None:
                self._feed.hub = instance.hub
            parts += [instance, self._connections]
        if own.consume:
            parts.append(EventDelivery(self._settings, name))
        return parts

    def _reload_settings(self) -> None:
        """Take keys, origins, tokens and the log of the settings again."""
        self._supervisor.reloading()
        try:
            old, new = self._settings, self._read_settings()
            self._app.configure(new.realtime)
            configure_logs(new.log.level, new.log.format)
            self._log.info("settings reloaded", restart_needed_for=_restart_needed(old, new))
        except ConfigurationError as error:
            self._log.error("settings reload failed", reason=str(error))
        self._supervisor.ready()

    def _on_stop_signal(self, name: str) -> None:
        drain_ms = self._settings.realtime.drain_ms
        self._log.info("gateway stop requested", signal=name, drain_ms=drain_ms)
        self._supervisor.stopping()
        self._stop.set()


def open_gateway(settings: Settings, read_settings: Callable[[], Settings]) -> GatewayProcess:
    """Listen, and return the process; raise `ConfigurationError`, or ``OSError`` to listen."""
    own = settings.realtime
    if own.serve and not own.takes_jwt:
        raise ConfigurationError(
            "realtime.jwt_key: needs a key that verifies the tokens of users, or"
            " realtime.jwt_secret, and realtime.audience"
        )
    sockets = listen(own.host, own.port)
    for listening in sockets:
        give_up_soon(listening, _VANISHED_S)
    return GatewayProcess(settings, sockets, read_settings)


def start_problems(settings: Settings) -> Iterator[str]:
    """Find what `gateway` would refuse to start for; a port that is taken is not looked at."""
    own = settings.realtime
    try:
        Access(own)
    except ConfigurationError as error:
        yield str(error)
    try:
        check_host(own.host)
    except OSError as error:
        yield f"realtime.host: cannot listen on {own.host}: {listen_error(error)}"


def _restart_needed(old: Settings, new: Settings) -> list[str]:
    """Return the names of the changed settings that need a restart, sorted."""
    return sorted(
        f"{section}.{field}"
        for section in ("redis", "realtime", "feed")
        for field, value in getattr(new, section)
        if f"{section}.{field}" not in _RELOADABLE
        and value != getattr(getattr(old, section), field)
    )
