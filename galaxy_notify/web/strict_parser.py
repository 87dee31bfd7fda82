"""Requests as they are parsed: llhttp, as strict as h11.

llhttp, which httptools wraps, reads a request in a tenth of the time of h11. It bounds nothing and
is lenient in places, so what h11 refused is refused here: a head that does not end, a second
``Host``, a transfer coding that nothing decodes. It also knows fewer methods, and gives up at an
offer of another protocol; such requests are served.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: The most bytes of a head, or of anything that is neither a head nor a part of a body, such as the
#: extensions of a chunk and what follows the last one.
HEAD_BYTES: Final = 1 << 16
#: Requests that wait on a connection for the answers to earlier ones; each takes a few kilobytes.
MOST_AHEAD: Final = 32

_VERSIONS: Final = frozenset({"1.0", "1.1"})
_METHOD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) [^ ]")
#: The parser knows its methods only; one that nothing here serves stands for all others.
_STAND_IN: Final = b"TRACE"
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)")


class Unreadable(Exception):
    """What was received is no request that can be served; the status says why."""

    def __init__(self, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(status.phrase)
        self.status = status


class StrictProtocol(HttpToolsProtocol):
    """A connection without bounds of time, whose requests mean the same to all that read them."""

    #: Whether the application sees cookies. A framework reads them for every path, before the
    #: caller is known, and Python before 3.11.10 takes seconds for one of 60 kB.
    keeps_cookies = False
    _begun = 0
    _ended = 0
    _in_head = True
    _unknown_method = ""
    _upgrades = False
    #: The other protocol that the request which is being read offers.
    _offer = b""
    _hosts = 0
    #: Bytes received since a head ended, or a part of a body came.
    _unfinished = 0

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._begun += 1
        self._in_head, self._hosts = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; what follows a body adds nothing to the head."""
        name, value = name.lower(), value.rstrip(b" \t")
        if not self._in_head or (name == b"cookie" and not self.keeps_cookies):
            return
        if name == b"host":
            self._hosts += 1
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            raise Unreadable(HTTPStatus.NOT_IMPLEMENTED)
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin to answer, or to wait for the answers to earlier requests."""
        self._in_head, self._unfinished = False, 0
        self._upgrades = self.parser.should_upgrade()
        if self._upgrades:
            return
        version = self.parser.get_http_version()
        if version not in _VERSIONS or self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise Unreadable
        if len(self.pipeline) >= MOST_AHEAD:
            raise Unreadable
        if not self.url.startswith(b"/"):
            self._take_origin_form()
        super().on_headers_complete()
        if self._unknown_method:
            self.scope["method"], self._unknown_method = self._unknown_method, ""

    def on_body(self, body: bytes) -> None:
        """Hand on a part of the body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body."""
        self._ended, self._unfinished = self._ended + 1, 0
        if not self._upgrades:
            super().on_message_complete()

    def parse(self, data: bytes) -> None:
        """Parse what has come, and begin every request in it; raise `Unreadable`."""
        self._unfinished += len(data)
        # What stands in this piece behind another request, or the rest of one, is not looked for.
        at_start = self._begun + 1 if self._begun == self._ended else 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserInvalidMethodError:
            method = _METHOD.match(data) if self._begun == at_start else None
            if method is None:
                raise Unreadable from None
            self._unknown_method = method[1].decode()
            self._parse_instead(_STAND_IN + data[method.end(1) :])
        except httptools.HttpParserUpgrade as found:
            (end,) = found.args
            self._go_on_unchanged(data[end:])
        except httptools.HttpParserError as error:
            # What a callback raises is the reason of the parser's error.
            if isinstance(error.__context__, Unreadable):
                raise error.__context__ from None
            raise Unreadable from error

    def _go_on_unchanged(self, rest: bytes) -> None:
        """Serve a request that offers another protocol in this one, as if it did not.

        The parser takes all behind such a head for the other protocol, so it reads the head again,
        without the offer.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            raise Unreadable
        kept = [b"%s: %s\r\n" % one for one in self.headers if one[0] != b"upgrade"]
        if version != "1.0":  # an older client knows no other protocols: RFC 9110, 7.8
            self._offer = b", ".join(value for name, value in self.headers if name == b"upgrade")
        line = b"%s %s HTTP/%s\r\n" % (method, self.url, version.encode())
        self._parse_instead(b"".join([line, *kept, b"\r\n", rest]))

    def _parse_instead(self, data: bytes) -> None:
        self._begun = self._ended
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parse(data)

    def _take_origin_form(self) -> None:
        """Read a target that is a whole URL as its path; its host stands before the header."""
        match = _ABSOLUTE.match(self.url)
        if match is None:
            return
        path = self.url[match.end() :]
        self.url = path if path.startswith(b"/") else b"/" + path
        others = [one for one in self.headers if one[0] != b"host"]
        # The scope of the request has this list.
        self.headers[:] = [(b"host", match[1]), *others]

    def check_unfinished(self) -> None:
        """Raise `Unreadable` where too much has come that is neither a head nor a body."""
        if self._unfinished <= HEAD_BYTES:
            return
        if not self._in_head:
            raise Unreadable
        if len(self.url) > HEAD_BYTES // 2:
            raise Unreadable(HTTPStatus.REQUEST_URI_TOO_LONG)
        raise Unreadable(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
