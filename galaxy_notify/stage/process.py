"""The life of ``demo --web``: servers, processes and the page, until a signal ends all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import uvicorn

from galaxy_notify.process.end_signals import EndSignals
from galaxy_notify.process.supervisor import environ_supervisor
from galaxy_notify.stage.app import StageApp
from galaxy_notify.stage.people import PEOPLE
from galaxy_notify.stage.play import StagePlay
from galaxy_notify.stage.servers import Servers
from galaxy_notify.web.server import SupervisedServer
from galaxy_notify.web.sockets import Listener, listen, url_of

_HOST: Final = "127.0.0.1"
#: What the end takes at most: processes in turn, then both servers.
_PATIENCE_S: Final = 40.0


async def play(
    folder: Path, environ: Mapping[str, str], stage: Listener, tell: Callable[[str], object]
) -> None:
    """Play in *folder* until a signal; *tell* is called with the URL when all is ready.

    Raises `ConfigurationError` and `Unavailable`. All that was started has ended behind it.
    """
    stop = asyncio.Event()
    signals = EndSignals(lambda _: stop.set(), lambda _: None, _PATIENCE_S)
    signals.listen()
    servers = Servers(folder, environ)
    try:
        settings = await servers.start(url_of(stage))
        made = StagePlay(servers, folder, free_ports(len(PEOPLE)))
        await made.begin(settings)
        await _serve(made, stage, stop, tell)
    finally:
        servers.stop()
        signals.disarm()


async def _serve(
    made: StagePlay, stage: Listener, stop: asyncio.Event, tell: Callable[[str], object]
) -> None:
    web = _web(StageApp(made, url_of(stage), made.frames))
    keeping = asyncio.ensure_future(made.keep())
    serving = asyncio.ensure_future(web.serve(sockets=[stage]))
    stopping = asyncio.ensure_future(stop.wait())
    ready = asyncio.ensure_future(made.ready())
    try:
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait({ready, keeping, serving, stopping}, return_when=first)
        if ready.done() and not stop.is_set():
            tell(f"{url_of(stage)}/")
            await asyncio.wait({keeping, serving, stopping}, return_when=first)
    finally:
        ready.cancel()
        stopping.cancel()
        web.should_exit = True
        await made.end()
        await asyncio.wait({keeping, serving})
    try:
        await keeping
    except BaseExceptionGroup as errors:
        # They fail for the same reason, so that the first one says it.
        raise errors.exceptions[0] from None
    serving.result()


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; a process that finds its own taken tries again."""
    listening = [listen(_HOST, 0)[0] for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in listening]
    for one in listening:
        one.close()
    return ports


def _web(app: StageApp) -> SupervisedServer:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    return SupervisedServer(config, environ_supervisor())
