"""A connection to a client, with bounds of time, and of what waits on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.web.problems import ALWAYS_SENT, MEDIA_TYPE, unread
from galaxy_notify.web.strict_parser import StrictProtocol, Unreadable

#: In the state of a request's scope: returns whether the whole body has arrived.
ARRIVED: Final = "galaxy_notify.arrived"
#: In the extensions of a request's scope: a `HandOver`.
HAND_OVER: Final = "galaxy_notify.hand_over"
#: Gives the connection of a request to another protocol and returns the transport: what is written
#: to it from then on is the answer. Returns None where the client is gone.
HandOver: TypeAlias = Callable[[asyncio.Protocol], asyncio.Transport | None]
#: In the same place: the other protocols that the request offers, in lower case; empty for none.
OFFER: Final = "galaxy_notify.offer"
#: From the connect, or the first byte of a request, to the end of its head.
HEAD_S: Final = 10.0
#: The most to read at a time, in bytes. In chunks of one byte this takes some 10 ms to parse; for
#: the 256 KiB that asyncio reads nothing else would be served for ten times as long.
PIECE_BYTES: Final = 1 << 15
#: How long the rest of an unreadable request is read and thrown away, so that its answer arrives.
LINGER_S: Final = 2.0
#: A client that reads nothing of its answer for this long is dropped.
UNREAD_S: Final = 30.0

# A part of a body that begins like a head is kept until the next part, or the end.
_HEAD: Final = b"HTTP/1.1 "
_GO_ON: Final = b"HTTP/1.1 100 "


class BoundedProtocol(StrictProtocol):
    """A connection that is closed where a head does not come, or an answer is not read, in time."""

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _is_refused = False
    _answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request; read little at a time, so that others are served, too."""
        super().connection_made(transport)
        self.flow = _Flow(self, transport)
        self._answers = _WholeAnswers(transport)
        # An attribute of asyncio's transport over sockets; its 256 KiB are too much for one turn.
        transport.max_size = PIECE_BYTES  # type: ignore[attr-defined]
        # All that is not sent yet counts as unread.
        transport.set_write_buffer_limits(high=0)
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Let the answer go out in one piece, and the application see whether a body is there."""
        before = self.cycle
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not before:
            cycle.transport = self._answers
            cycle.scope["state"][ARRIVED] = lambda: not cycle.more_body

    def on_response_complete(self) -> None:
        """Send an answer that has no body; go on with the next request."""
        self._answers.flush()
        if self._answering is not None:
            # It leads back to the request, which would be left to the garbage collector.
            self._answering.scope["state"].pop(ARRIVED, None)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_waiting()
        self._forget_unread()
        self._end(self._answering)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come; wait on, while it is no whole head."""
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        try:
            self.parse(data)
            self.check_unfinished()
        except Unreadable as error:
            self._refuse(error.status)
            return
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
        elif self._head is not None:
            self._stop_waiting()

    def pause_writing(self) -> None:
        """Wait until the client reads what it was sent."""
        super().pause_writing()
        self._wait_for_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on: all was sent."""
        super().resume_writing()
        self._forget_unread()

    # --- answers ---

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what cannot be read, in the form of every other answer, and read nothing more.

        Requests before it are answered first. Then the connection is closed without this answer,
        which the client would take for one of theirs.
        """
        self.logger.warning("Invalid HTTP request received.")
        self._is_refused = True
        newest = self.cycle if self.cycle and not self.cycle.response_complete else None
        broken = newest if newest and newest.more_body else None
        if broken and broken is not self._answering:
            self.pipeline.popleft()
        waiting = self.pipeline[0][0] if self.pipeline else self._answering
        if waiting and waiting is not broken and not waiting.response_complete:
            waiting.keep_alive = False
            return
        if broken is None or not broken.response_started:
            self._write_refusal(status)
        self._linger()

    def _write_refusal(self, status: HTTPStatus) -> None:
        body, kind = unread(status)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *ALWAYS_SENT,
        ]
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[kind], *lines, b"\r\n", body]))

    def _linger(self) -> None:
        """Send the end of output; a close while the client still sends would lose the answer."""
        self._end(self._answering)
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _end(self, cycle: RequestResponseCycle | None) -> None:
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            # Nothing can be sent any more; to try would be taken for a defect of the endpoint.
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()

    # --- time ---

    def _wait_for_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _wait_for_reader(self, unread: int) -> None:
        self._forget_unread()
        self._unread = self.loop.call_later(UNREAD_S, self._leave_unread, unread)

    def _leave_unread(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._wait_for_reader(left)
        else:
            get_logger("http").warning("response write timed out", unread_bytes=left)
            # To close it would wait for the client to read.
            self.transport.abort()

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class LentProtocol(BoundedProtocol):
    """A connection that its request may take over, for an answer without an end."""

    keeps_cookies = True

    def on_headers_complete(self) -> None:
        """Let the application take the connection over."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            extensions: dict[str, Any] = {HAND_OVER: self._hand_over, OFFER: self._offer.lower()}
            self.cycle.scope["extensions"] = extensions
            self._offer = b""

    def _hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport | None:
        cycle = self._answering
        if cycle is None or cycle.disconnected:
            return None
        # Its application ends without an answer.
        cycle.disconnected = True
        self._stop_waiting()
        self._forget_unread()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        # Requests that the client sent behind this one are never answered.
        self.pipeline.clear()
        self.flow.resume_reading()
        transport: asyncio.Transport = self.transport
        transport.set_protocol(protocol)
        # It leads back here, and would be left to the garbage collector.
        self.parser = None  # type: ignore[assignment]  # as uvicorn does with a lost connection
        return transport


class _Flow(FlowControl):
    """Reads nothing while requests wait for the answers to earlier ones.

    Uvicorn's own reads on with the next answer, so that a client which never reads any answer has
    ever more requests wait in memory.
    """

    def __init__(self, protocol: BoundedProtocol, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if not self._protocol.pipeline:
            super().resume_reading()


class _WholeAnswers(asyncio.Transport):
    """Keeps the head of an answer until its body comes, so that both are one call to the system.

    That call takes a tenth of the time of a request. ASGI has the head wait for the body.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: Any) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif data.startswith(_HEAD) and not data.startswith(_GO_ON):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that is not followed by a body."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
