"""Answers of a gateway process that are not streams."""

from __future__ import annotations

from galaxy_notify.realtime.access import Headers
from galaxy_notify.realtime.client_files import ClientFile
from galaxy_notify.realtime.request import Send
from galaxy_notify.web.problems import ALWAYS_SENT, MEDIA_TYPE, Problem, packed


async def answer(
    send: Send, status: int, body: bytes, headers: Headers, *, until_read: bool = False
) -> None:
    """Answer with a whole body; with *until_read*, wait until the client has taken it."""
    length = (b"content-length", str(len(body)).encode())
    everything = [*headers, *ALWAYS_SENT, *([length] if body else [])]
    await send({"type": "http.response.start", "status": status, "headers": everything})
    await send({"type": "http.response.body", "body": body, "more_body": until_read})
    if until_read:
        # Sent when nothing of the body is left here, or the client is gone.
        await send({"type": "http.response.body", "body": b""})


async def answer_json(
    send: Send, document: object, headers: Headers = (), *, status: int = 200
) -> None:
    """Answer with a JSON document."""
    await answer(send, status, packed(document), [(b"content-type", b"application/json"), *headers])


async def answer_problem(send: Send, problem: Problem, headers: Headers = ()) -> None:
    """Answer with a problem."""
    own = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    kind = (b"content-type", MEDIA_TYPE.encode())
    await answer(send, problem.status, problem.body, [kind, *own, *headers])


async def answer_file(send: Send, file: ClientFile, headers: Headers, *, is_kept: bool) -> None:
    """Answer with a file, or that the browser has it; unlike other answers it is to be kept."""
    length = (b"content-length", str(len(file.body)).encode())
    status, body, about = (304, b"", []) if is_kept else (200, file.body, [length])
    everything = [*file.headers, *headers, *about]
    await send({"type": "http.response.start", "status": status, "headers": everything})
    await send({"type": "http.response.body", "body": body})
