"""The events of each user as server-sent events, in a FastAPI application.

pip install fastapi uvicorn
uvicorn streams_fastapi:app --timeout-graceful-shutdown 5
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse

from galaxy_notify.realtime import Streams

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
#: In place of your own login: sessions that began with a password.
SESSIONS = {"session-of-ann": "ann", "session-of-bob": "bob"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Serve streams while the application runs."""
    async with Streams.from_url(URL) as app.state.streams:
        yield


app = FastAPI(lifespan=lifespan)


def current_user(session: Annotated[str, Cookie()] = "") -> str:
    """Return the user of a request, by the login of your own application."""
    if session not in SESSIONS:
        raise HTTPException(401)
    return SESSIONS[session]


def streams_of(request: Request) -> Streams:
    """Return the streams of the application."""
    streams: Streams = request.app.state.streams
    return streams


CurrentUser = Annotated[str, Depends(current_user)]
AppStreams = Annotated[Streams, Depends(streams_of)]


@app.get("/events")
async def events(
    user: CurrentUser,
    streams: AppStreams,
    last_event_id: Annotated[str | None, Header()] = None,
    cursor: str | None = None,
) -> StreamingResponse:
    """Send a user's events until the client disconnects."""

    async def body() -> AsyncIterator[bytes]:
        # Left when the client is gone: the server then cancels this, or closes it.
        async with streams.open(user, last_event_id or cursor) as stream:
            async for frame in stream.sse():
                yield frame

    headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
    return StreamingResponse(body(), headers=headers, media_type="text/event-stream")


@app.post("/typing/{to}")
async def typing(to: str, user: CurrentUser, streams: AppStreams) -> dict[str, int]:
    """Show a user that another one is typing."""
    return {"reached": await streams.push(to, "typing", {"who": user})}
