"""The events of each user as server-sent events, in an aiohttp application.

pip install aiohttp
python streams_aiohttp.py 8000
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from galaxy_notify.realtime import Streams

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
#: In place of your own login: sessions that began with a password.
SESSIONS = {"session-of-ann": "ann", "session-of-bob": "bob"}
STREAMS = web.AppKey("streams", Streams)


def user_of(request: web.Request) -> str:
    """Return the user of a request, by the login of your own application."""
    user = SESSIONS.get(request.cookies.get("session", ""))
    if user is None:
        raise web.HTTPUnauthorized
    return user


async def events(request: web.Request) -> web.StreamResponse:
    """Send a user's events until the client disconnects: aiohttp then cancels this handler."""
    user = user_of(request)
    cursor = request.headers.get("Last-Event-ID") or request.query.get("cursor")
    headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    response.content_type = "text/event-stream"
    async with request.app[STREAMS].open(user, cursor) as stream:
        await response.prepare(request)
        with suppress(ConnectionResetError):
            async for frame in stream.sse():
                await response.write(frame)
    return response


async def typing(request: web.Request) -> web.Response:
    """Show a user that another one is typing."""
    data = {"who": user_of(request)}
    reached = await request.app[STREAMS].push(request.match_info["user"], "typing", data)
    return web.json_response({"reached": reached})


async def streams_while_running(app: web.Application) -> AsyncIterator[None]:
    """Serve streams while the application runs."""
    async with Streams.from_url(URL) as app[STREAMS]:
        yield


async def close_streams(app: web.Application) -> None:
    """End all streams at a stop: aiohttp waits for their handlers."""
    await app[STREAMS].close()


def made() -> web.Application:
    """Return the application."""
    app = web.Application()
    app.router.add_get("/events", events)
    app.router.add_post("/typing/{user}", typing)
    app.cleanup_ctx.append(streams_while_running)
    app.on_shutdown.append(close_streams)
    return app


if __name__ == "__main__":
    # Handlers are cancelled when their client is gone, not only when they write to it.
    web.run_app(made(), port=int(sys.argv[1]), handler_cancellation=True, shutdown_timeout=5)
