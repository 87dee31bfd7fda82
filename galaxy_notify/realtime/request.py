"""A request to a gateway process, as far as it decides anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.cursor import UNKNOWN, Cursor, parse_cursor
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.json_text import JsonLimits, Shape, read_json
from galaxy_notify.realtime.access import single_values
from galaxy_notify.web.bodies import (
    SHORT,
    SHORT_BYTES,
    BodyLimits,
    check_json_type,
    ended_early,
    not_json,
    read_body,
)
from galaxy_notify.web.connection import ARRIVED, HAND_OVER, OFFER, HandOver
from galaxy_notify.web.problems import Problem, fault

Asgi = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Asgi]]
Send = Callable[[Asgi], Awaitable[None]]

_MOST_PARAMETERS: Final = 32
_BODY: Final = BodyLimits(SHORT_BYTES, 10_000)


@dataclass(frozen=True)
class Request:
    """A request, as far as it decides anything."""

    method: str
    path: str
    headers: Mapping[bytes, str]
    query: str
    peer: str
    hand_over: HandOver
    #: The other protocols that it offers.
    offer: bytes
    receive: Receive
    #: Whether all of its body is there.
    has_arrived: bool

    @classmethod
    def of(cls, scope: Asgi, receive: Receive) -> Request:
        """Read a scope; raise a `Problem` for headers without a single meaning."""
        client = scope.get("client")
        arrived = scope["state"].get(ARRIVED)
        return cls(
            scope["method"],
            scope["path"],
            single_values(scope["headers"]),
            scope["query_string"].decode("latin-1"),
            client[0] if client else "",
            scope["extensions"][HAND_OVER],
            scope["extensions"][OFFER],
            receive,
            bool(arrived and arrived()),
        )

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """What the query says; of a repeated parameter the last value. It is never logged."""
        try:
            return dict(parse_qsl(self.query, max_num_fields=_MOST_PARAMETERS))
        except ValueError:
            raise Problem("bad-request", "the query has too many parameters") from None

    @property
    def cursor(self) -> Cursor | None:
        """Where the client goes on; None without a cursor, `UNKNOWN` for one that is invalid."""
        text = self.headers.get(b"last-event-id") or self.parameters.get("cursor")
        return (parse_cursor(text) or UNKNOWN) if text else None

    def asked(self, *known: str) -> Mapping[str, Sequence[str]]:
        """Return the values of the query by name, without empty ones.

        Raises a `Problem` for a name that is not one of the *known*.
        """
        try:
            pairs = parse_qsl(self.query, max_num_fields=_MOST_PARAMETERS, keep_blank_values=True)
        except ValueError:
            raise Problem("bad-request", "the query has too many parameters") from None
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            if name not in known:
                shown = printable(name)
                errors = [fault(shown, "unknown parameter")]
                raise Problem("invalid", f"{shown}: unknown parameter", errors)
            if value:
                found.setdefault(name, []).append(value)
        return found

    async def json(self, limits: JsonLimits = SHORT) -> Any:
        """Return the value of the JSON in the body; raise a `Problem` for any other body."""
        check_json_type(
            self.headers.get(b"content-type", ""), self.headers.get(b"content-encoding", "")
        )
        raw = await read_body(
            self._parts(),
            Shape("the body", limits),
            _BODY,
            declared=self.headers.get(b"content-length", ""),
            has_arrived=self.has_arrived,
        )
        try:
            return read_json(raw, "the body")
        except InvalidIntent as error:
            raise not_json(error) from None

    async def _parts(self) -> AsyncIterator[bytes]:
        has_more = True
        while has_more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ended_early()
            yield message.get("body", b"")
            has_more = message.get("more_body", False)
