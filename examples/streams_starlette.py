"""The events of each user as server-sent events, in a Starlette application.

pip install starlette uvicorn
uvicorn streams_starlette:app --timeout-graceful-shutdown 5

A page reads them with ``new EventSource("/events")``: it has its cookie with it, and after a
reconnect its ``Last-Event-ID``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from galaxy_notify.realtime import Streams

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
#: In place of your own login: sessions that began with a password.
SESSIONS = {"session-of-ann": "ann", "session-of-bob": "bob"}


def user_of(request: Request) -> str:
    """Return the user of a request, by the login of your own application."""
    user = SESSIONS.get(request.cookies.get("session", ""))
    if user is None:
        raise HTTPException(401)
    return user


async def events(request: Request) -> Response:
    """Send a user's events until the client disconnects."""
    user, streams = user_of(request), request.app.state.streams
    cursor = request.headers.get("last-event-id") or request.query_params.get("cursor")

    async def body() -> AsyncIterator[bytes]:
        # Left when the client is gone: the server then cancels this, or closes it.
        async with streams.open(user, cursor) as stream:
            async for frame in stream.sse():
                yield frame

    headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
    return StreamingResponse(body(), headers=headers, media_type="text/event-stream")


async def typing(request: Request) -> Response:
    """Show a user that another one is typing."""
    data = {"who": user_of(request)}
    reached = await request.app.state.streams.push(request.path_params["user"], "typing", data)
    return JSONResponse({"reached": reached})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Serve streams while the application runs."""
    async with Streams.from_url(URL) as app.state.streams:
        yield


app = Starlette(
    routes=[Route("/events", events), Route("/typing/{user}", typing, methods=["POST"])],
    lifespan=lifespan,
)
