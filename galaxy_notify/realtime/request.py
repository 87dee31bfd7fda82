"""A request to a gateway process, as far as it decides anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl

from galaxy_notify.model.cursor import UNKNOWN, Cursor, parse_cursor
from galaxy_notify.realtime.access import single_values
from galaxy_notify.web.connection import HAND_OVER, OFFER, HandOver
from galaxy_notify.web.problems import Problem

Asgi = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Asgi]]
Send = Callable[[Asgi], Awaitable[None]]

_MOST_PARAMETERS: Final = 32


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

    @classmethod
    def of(cls, scope: Asgi) -> Request:
        """Read a scope; raise a `Problem` for headers without a single meaning."""
        client = scope.get("client")
        return cls(
            scope["method"],
            scope["path"],
            single_values(scope["headers"]),
            scope["query_string"].decode("latin-1"),
            client[0] if client else "",
            scope["extensions"][HAND_OVER],
            scope["extensions"][OFFER],
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
