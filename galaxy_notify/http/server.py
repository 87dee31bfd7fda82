"""The life of the API's process: listen, serve, stop, and what it reports to its supervisor."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from galaxy_notify import __version__
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.http.app import make_app
from galaxy_notify.http.auth import Authenticator
from galaxy_notify.http.dependencies import AppState
from galaxy_notify.http.workers import STOP, ParentSupervisor, Worker, WorkerGroup
from galaxy_notify.process.end_signals import EndSignals
from galaxy_notify.process.join import DeploymentJoin
from galaxy_notify.process.process_id import process_id
from galaxy_notify.process.supervisor import environ_supervisor
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import Settings
from galaxy_notify.settings.http import Token
from galaxy_notify.signals import SIGNALS
from galaxy_notify.telemetry.logs import add_to_lines, get_logger
from galaxy_notify.telemetry.prometheus import start_scraped
from galaxy_notify.web.connection import BoundedProtocol
from galaxy_notify.web.problems import Problem
from galaxy_notify.web.server import SupervisedServer
from galaxy_notify.web.sockets import BACKLOG, Listener, check_host, listen, listen_error, url_of

# Longer than proxies keep theirs: so it is never we who close one that is just being used.
_KEEP_ALIVE_S: Final = 75
# What a stop takes beside waiting for requests: connections, telemetry.
_LEAVING_S: Final = 4.5


class ApiServer:
    """One process of the HTTP API; it serves whether Redis answers or not."""

    def __init__(
        self, settings: Settings, sockets: list[Listener], worker: Worker | None = None
    ) -> None:
        """Prepare to serve *sockets*, alone or as a *worker*; raise `ConfigurationError`."""
        self._settings = settings
        self._log = get_logger("http")
        self._worker = worker
        self._supervisor = ParentSupervisor(worker.channel) if worker else environ_supervisor()
        about = {"service.name": "galaxy-notify-http", "service.version": __version__}
        if worker:
            about["service.instance.id"] = process_id()
        self._state = AppState.open(settings, start_scraped(about), worker)
        self._signals = EndSignals(
            self._on_stop_signal, self._on_second_signal, patience_s(settings)
        )
        self._sockets = sockets
        config = uvicorn.Config(
            make_app(self._state),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # How many connections a process accepts in a turn; of several, none takes all.
            backlog=1 if worker else BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=-(-settings.http.shutdown_ms // 1000),
        )
        self._server = SupervisedServer(config, self._supervisor)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP.

        Raises `ConfigurationError` where Redis is another's.
        """
        self._signals.listen()
        # What was imported stays: to look through it for garbage would stop the loop each time.
        gc.freeze()
        if self._worker is None:
            log_start(self._settings, self._sockets)
        else:
            await self._join_group(self._worker)
        joining = asyncio.create_task(self._join())
        joining.add_done_callback(self._joined)
        try:
            await self._server.serve([*self._sockets])
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
        if await joining.run(asyncio.Event()) is not None:
            self._supervisor.status("serving")

    async def _agree(self) -> SharedSettings:
        try:
            return await self._state.pools.probes.run(lambda deployment: deployment.shared)
        except Problem as problem:
            cause = problem.__cause__
            if isinstance(cause, (RedisFault, ConfigurationError)):
                raise cause from cause.__cause__
            fault = Fault(problem.kind, Remedy.RETRY, problem.detail)
            raise RedisFault(fault) from problem

    def _joined(self, joining: asyncio.Task[None]) -> None:
        if not joining.cancelled() and joining.exception() is not None:
            self._server.should_exit = True

    async def _join_group(self, worker: Worker) -> None:
        self._log.info("http worker started", pid=os.getpid())
        worker.channel.setblocking(False)
        asyncio.get_running_loop().add_reader(worker.channel, self._heard, worker.channel)
        await self._state.metrics.start()

    def _heard(self, channel: socket.socket) -> None:
        """Stop as the parent asks; without a parent, nobody starts another worker in its place."""
        try:
            message = channel.recv(len(STOP))
        except ConnectionError:
            message = b""
        if message != STOP and self._worker:
            shutil.rmtree(self._worker.folder, ignore_errors=True)
            self._log.warning("http parent lost")
            # Nobody else ends a worker that hangs in its stop.
            SIGNALS.watchdog.start_countdown()
        asyncio.get_running_loop().remove_reader(channel)
        self._server.should_exit = True

    def _on_stop_signal(self, name: str) -> None:
        self._log.info(
            "http stop requested", signal=name, at_most_ms=self._settings.http.shutdown_ms
        )
        self._supervisor.stopping()
        self._server.should_exit = True

    def _on_second_signal(self, name: str) -> None:
        self._log.warning("http exiting immediately", signal=name)


def open_server(settings: Settings) -> ApiServer:
    """Listen, and return the server of this process: with several workers, of each of them.

    In the parent of workers it exits when they have ended. Raises `ConfigurationError`, or
    ``OSError`` for the address.
    """
    count = settings.http.workers
    if count == 1:
        return ApiServer(settings, listen(settings.http.host, settings.http.port))
    # What no worker could start with is found once, before there are any.
    Authenticator(settings.http)
    sockets = listen(settings.http.host, settings.http.port)
    log_start(settings, sockets)
    # What is loaded by now is shared by all, as far as nothing writes to it.
    gc.freeze()
    group = WorkerGroup(count, environ_supervisor(), patience_s(settings), sockets)
    worker = group.run()
    if worker is None:
        get_logger("http").info("http stopped")
        raise SystemExit(group.exit_code)
    add_to_lines(worker=worker.number)
    return ApiServer(settings, sockets, worker)


def patience_s(settings: Settings) -> float:
    """Return the seconds that a stop may take."""
    return settings.http.shutdown_ms / 1000 + _LEAVING_S


def log_start(settings: Settings, sockets: list[Listener]) -> None:
    """Log where the API listens, and for whom."""
    own, log = settings.http, get_logger("http")
    about = {
        "urls": [url_of(one) for one in sockets],
        "jwt": own.jwt_algorithm if own.takes_jwt else "",
        "clients": [_client_text(one) for one in own.clients],
    }
    workers = {"workers": own.workers} if own.workers > 1 else {}
    log.info("http started", pid=os.getpid(), version=__version__, **about, **workers)
    if not own.is_guarded:
        reason = "neither http.tokens nor http.jwt_key or jwt_secret is set"
        log.warning("http authentication disabled", reason=reason)


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


def _client_text(client: Token) -> str:
    bound = [f"producer={one}" for one in sorted(client.producers or ())]
    return f"{client.name} ({' '.join([*sorted(client.scopes), *bound])})"
