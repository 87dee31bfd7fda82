"""Reading a response: its status, how it may be retried, and a little of its body."""

from __future__ import annotations

from typing import Final

import httptools

_MOST_BODY: Final = 4096
#: The status line and the headers, of interim responses too.
_MOST_HEAD: Final = 65_536
_MOST_INTERIM: Final = 16
_INTERIM: Final = range(100, 200)
_SWITCHING: Final = 101


class Garbled(Exception):
    """What came is no HTTP response, or more of one than is read; the text says which."""


class Response:
    """A response as it comes in, by `feed`. Of its body 4 KiB are kept, and no more is wanted."""

    def __init__(self) -> None:
        self.status: int | None = None
        #: The request may have arrived.
        self.is_awaited = False
        self.retry_after = ""
        self.body = b""
        #: Nothing more is wanted: it is complete, or all that is kept of it is there.
        self.enough = False
        #: Another request may follow on the connection.
        self.keeps_alive = False
        self._head = 0
        self._interim = 0
        self._parser = httptools.HttpResponseParser(self)
        # A server that writes headers carelessly has answered all the same.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> None:
        """Read on; raise `Garbled`. Nothing may be fed any more once there is enough.

        Of a response whose headers are there, the status counts, whatever follows them.
        """
        if self.status is None:
            self._head += len(data)
            if self._head > _MOST_HEAD:
                raise Garbled("its headers are too long")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.status is None:
                raise _reason(error) from None
            self.enough, self.keeps_alive = True, False

    def on_message_begin(self) -> None:
        """Called by the parser: nothing may come behind the response."""
        if self.status is not None:
            raise Garbled("it sends more than one response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        if status not in _INTERIM or status == _SWITCHING:
            self.status = status
            return
        self.retry_after = ""
        self._interim += 1
        if self._interim > _MOST_INTERIM:
            raise Garbled("it sends interim responses without end")

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self.body += data[: _MOST_BODY - len(self.body)]
        self.enough = len(self.body) == _MOST_BODY

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self.status is not None:
            self.enough, self.keeps_alive = True, self._parser.should_keep_alive()


def _reason(error: Exception) -> Garbled:
    """Return what was raised in a callback as it was raised; the parser wraps it."""
    for each in (error, error.__context__):
        if isinstance(each, Garbled):
            return each
    return Garbled("it is no HTTP response")
