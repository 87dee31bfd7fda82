"""Problems as RFC 9457 has them: what a listener answers instead of what was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final, NamedTuple

from galaxy_notify.errors import Portable

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:galaxy-notify:problem:"
#: What goes with every answer: it is not to be kept, shown as another type, or framed.
ALWAYS_SENT: Final[Sequence[tuple[bytes, bytes]]] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


class ProblemKind(NamedTuple):
    """A kind of problem: its status and what it is called."""

    status: int
    title: str


#: The last part of ``type`` → what it stands for; docs/http.md has the same table.
KINDS: Final[Mapping[str, ProblemKind]] = {
    "bad-request": ProblemKind(400, "Malformed request"),
    "unauthorized": ProblemKind(401, "Authentication required"),
    "forbidden": ProblemKind(403, "Permission denied"),
    "not-found": ProblemKind(404, "Not found"),
    "method-not-allowed": ProblemKind(405, "Method not allowed"),
    "request-timeout": ProblemKind(408, "Request timed out"),
    "conflict": ProblemKind(409, "Conflict"),
    "too-late": ProblemKind(409, "Too late to change"),
    "precondition-failed": ProblemKind(412, "Precondition failed"),
    "too-large": ProblemKind(413, "Request too large"),
    "uri-too-long": ProblemKind(414, "Request URI too long"),
    "unsupported-media-type": ProblemKind(415, "Unsupported media type"),
    "invalid": ProblemKind(422, "Invalid value"),
    "upgrade-required": ProblemKind(426, "WebSocket required"),
    "head-too-large": ProblemKind(431, "Request header too large"),
    "internal": ProblemKind(500, "Internal server error"),
    "misconfigured": ProblemKind(500, "Server misconfigured"),
    "not-implemented": ProblemKind(501, "Transfer coding not supported"),
    "unavailable": ProblemKind(503, "Redis or Postgres unavailable, outcome unknown"),
    "refused": ProblemKind(503, "Redis refused the write, nothing was written"),
    "busy": ProblemKind(503, "Too many concurrent requests"),
}
_UNREAD: Final = {414: "uri-too-long", 431: "head-too-large", 501: "not-implemented"}


class Problem(Portable):
    """Why a request is not answered with what it asked for."""

    def __init__(
        self,
        kind: str,
        detail: str,
        errors: Sequence[Mapping[str, object]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """Name the kind; *errors* say which field or item, *more* goes beside them."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    @property
    def status(self) -> int:
        return KINDS[self.kind].status

    @property
    def body(self) -> bytes:
        document: dict[str, object] = {
            "type": f"{TYPE_PREFIX}{self.kind}",
            "title": KINDS[self.kind].title,
            "status": self.status,
            "detail": self.detail,
            "errors": self.errors,
        }
        return packed(document | self.more)


def packed(document: object) -> bytes:
    """Return a JSON text in ASCII, which works for every value of this package."""
    return json.dumps(document, separators=(",", ":")).encode()


def fault(field: str, message: str, code: str = "invalid") -> dict[str, object]:
    """Return what ``errors`` says of one field."""
    return {"field": field, "code": code, "message": message}


def retry_after(pause_ms: int) -> Mapping[str, str]:
    """Return the header that asks a client to come back after a pause."""
    return {"Retry-After": str(ceil(pause_ms / 1000))}


def unread(status: int) -> tuple[bytes, int]:
    """Return the answer to what cannot be read as a request, and its status."""
    kind = _UNREAD.get(status, "bad-request")
    problem = Problem(kind, "not a valid HTTP/1.1 request")
    return problem.body, problem.status
