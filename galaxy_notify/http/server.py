"""The life of the API's process: listen, serve, stop, and what it reports to its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from galaxy_notify import __version__
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.http.app import make_app
from galaxy_notify.http.auth import Authenticator
from galaxy_notify.http.connection import BoundedProtocol
from galaxy_notify.http.dependencies import AppState
from galaxy_notify.http.responses import Problem
from galaxy_notify.http.sockets import check_host, listen, listen_error
from galaxy_notify.process.end_signals import EndSignals
from galaxy_notify.process.join import DeploymentJoin
from galaxy_notify.process.supervisor import ProgressWatchdog, Supervisor, environ_supervisor
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.settings import Settings
from galaxy_notify.settings.http import Token
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.prometheus import start_scraped

# Longer than proxies keep theirs: so it is never we who close one that is just being used.
_KEEP_ALIVE_S: Final = 75
# What a stop takes beside waiting for requests: connections, telemetry.
_LEAVING_S: Final = 4.5


class ApiServer:
    """One process of the HTTP API; it serves whether Redis answers or not."""

    def __init__(self, settings: Settings) -> None:
        """Prepare, and listen; raise `ConfigurationError`, or ``OSError`` for the address."""
        self._settings = settings
        self._log = get_logger("http")
        self._supervisor = environ_supervisor()
        about = {"service.name": "galaxy-notify-http", "service.version": __version__}
        self._state = AppState.open(settings, start_scraped(about))
        patience_s = settings.http.shutdown_ms / 1000 + _LEAVING_S
        self._signals = EndSignals(self._on_stop_signal, self._on_second_signal, patience_s)
        self._sockets = listen(settings.http.host, settings.http.port)
        config = uvicorn.Config(
            make_app(self._state),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=-(-settings.http.shutdown_ms // 1000),
        )
        self._server = _Server(config, self._supervisor)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP.

        Raises `ConfigurationError` where Redis is another's.
        """
        self._signals.listen()
        # What was imported stays: to look through it for garbage would stop the loop each time.
        gc.freeze()
        self._tell_start()
        joining = asyncio.create_task(self._join())
        joining.add_done_callback(self._joined)
        try:
            await self._server.serve(self._sockets)
        finally:
            joining.cancel()
            await asyncio.wait({joining})
            await self._state.close()
            self._state.telemetry.shutdown()
            self._signals.disarm()
        if not joining.cancelled():
            joining.result()
        self._log.info("http stopped")

    async def _join(self) -> None:
        """Wait until the deployment has been seen to be the one that the settings mean."""
        telemetry, pulse = self._state.telemetry, self._server.pulse
        joining = DeploymentJoin(self._agree, telemetry, self._supervisor, pulse, self._log)
        # Its end cancels it: the thread that asks Redis is left to itself.
        if await joining.run(asyncio.Event()):
            self._supervisor.status("serving")

    async def _agree(self) -> None:
        try:
            await self._state.pools.probes.run(lambda deployment: deployment.shared)
        except Problem as problem:
            cause = problem.__cause__
            if isinstance(cause, (RedisFault, ConfigurationError)):
                raise cause from cause.__cause__
            fault = Fault(problem.kind, Remedy.RETRY, problem.detail)
            raise RedisFault(fault) from problem

    def _joined(self, joining: asyncio.Task[None]) -> None:
        if not joining.cancelled() and joining.exception() is not None:
            self._server.should_exit = True

    def _tell_start(self) -> None:
        own = self._settings.http
        urls = [_url(one) for one in self._sockets]
        clients = [_client_text(one) for one in own.clients]
        about = {"jwt": own.jwt_algorithm if own.takes_jwt else "", "clients": clients}
        self._log.info("http started", pid=os.getpid(), version=__version__, urls=urls, **about)
        if self._state.authenticator.is_open:
            reason = "neither http.tokens nor http.jwt_key or jwt_secret is set"
            self._log.warning("http authentication disabled", reason=reason)

    def _on_stop_signal(self, name: str) -> None:
        self._log.info(
            "http stop requested", signal=name, at_most_ms=self._settings.http.shutdown_ms
        )
        self._supervisor.stopping()
        self._server.should_exit = True

    def _on_second_signal(self, name: str) -> None:
        self._log.warning("http exiting immediately", signal=name)


def start_problems(settings: Settings) -> Iterator[str]:
    """Find what `serve` would refuse to start for; a port that is taken is not looked at.

    It is taken, for instance, while the API runs.
    """
    own = settings.http
    try:
        Authenticator(own)
    except ConfigurationError as error:
        yield str(error)
    try:
        check_host(own.host)
    except OSError as error:
        yield f"http.host: cannot listen on {own.host}: {listen_error(error)}"


class _Server(uvicorn.Server):
    """Uvicorn, with our own signals; the watchdog is fed while its loop turns."""

    def __init__(self, config: uvicorn.Config, supervisor: Supervisor) -> None:
        super().__init__(config)
        self._supervisor = supervisor
        self.pulse = ProgressWatchdog(supervisor)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._supervisor.ready()

    async def on_tick(self, counter: int) -> bool:
        self.pulse.progressed(0)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _client_text(client: Token) -> str:
    bound = [f"producer={one}" for one in sorted(client.producers or ())]
    return f"{client.name} ({' '.join([*sorted(client.scopes), *bound])})"


def _url(listening: socket.socket) -> str:
    host, port, *_ = listening.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
