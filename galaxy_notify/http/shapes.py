"""The shapes of what is taken and answered, for the OpenAPI document and for what reads it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from galaxy_notify.model.ids import CHANNEL, NAME, RECIPIENT

NOTIFICATION: Final = "^[0-9a-f]{32}$"
_TRACE_TEXT: Final = {"type": "string", "pattern": "^[ -~]{1,128}$"}
_MOMENT: Final = {
    "description": "RFC 3339 with an offset, or epoch milliseconds",
    "oneOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 10**12, "maximum": 10**13},
    ],
}


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _named(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


#: One intent; what a schema cannot say is said by the answer (422).
INTENT: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type", "producer", "recipients"],
    "properties": {
        "type": _named(NAME),
        "producer": _named(NAME),
        "recipients": {"type": "array", "minItems": 1, "items": _named(RECIPIENT)},
        "channels": {
            "type": "array",
            "minItems": 1,
            "items": _named(CHANNEL),
            "default": ["push"],
            "description": "Each one of worker.channels; without it recipients may choose",
        },
        "severity": {
            "type": "string",
            "enum": ["info", "notice", "warning", "critical"],
            "default": "info",
        },
        "title": {"type": "string"},
        "body": {"type": "string"},
        "data": {"type": "object", "description": "Any JSON object, nested 32 levels at most"},
        "idempotency_key": _optional({"type": "string", "minLength": 1, "maxLength": 200}),
        "collapse_key": _optional({"type": "string", "minLength": 1, "maxLength": 200}),
        "due_at": _optional(_MOMENT),
        "expires_at": _optional(_MOMENT),
        "max_attempts": _optional({"type": "integer", "minimum": 1, "maximum": 1000}),
        "request_id": _optional(_TRACE_TEXT),
        "trace_id": _optional(_TRACE_TEXT),
        "traceparent": _optional(
            {
                "type": "string",
                "pattern": "^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}"
                "-[0-9a-f]{2}$",
            }
        ),
    },
    "example": {
        "type": "game.turn.ready",
        "producer": "lobby",
        "recipients": ["user-7"],
        "data": {"turn": 12},
    },
}
INTENTS: Final[dict[str, Any]] = {"type": "array", "minItems": 1, "items": INTENT}


class Fault(BaseModel):
    """What is wrong with one field, or one item."""

    field: str | None = None
    item: int | None = None
    code: str
    message: str


class ProblemDocument(BaseModel):
    """An answer of RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault]


class Refusal(BaseModel):
    """Why an intent was refused."""

    code: Literal["invalid", "conflict", "too_large"]
    field: str
    message: str


class Receipt(BaseModel):
    """What became of an intent."""

    notification_id: str | None
    status: Literal["accepted", "duplicate", "refused"]
    routes: int
    parts: int
    error: Refusal | None
    skipped: int = 0


class ItemReceipt(Receipt):
    """What became of one of many, by its place in the request, from 0 on."""

    item: int


class Receipts(BaseModel):
    """What became of many, in their order."""

    accepted: int
    duplicates: int
    refused: int
    receipts: list[ItemReceipt]


class CancelledRoutes(BaseModel):
    """What a cancel did: earlier ones count as well."""

    notification_id: str
    route: str | None
    cancelled: int
    too_late: int


class Transition(BaseModel):
    """What happened to a route once."""

    at_ms: int
    event: str
    worker: str
    attempt: int
    class_: str = Field(alias="class")
    message: str
    stream_id: str


class Failure(BaseModel):
    """Why the last attempt failed."""

    class_: str = Field(alias="class")
    message: str
    at_ms: int


class Lease(BaseModel):
    """Who has a route in hand."""

    worker: str
    lapses_at_ms: int
    abandoned: int


class Route(BaseModel):
    """One delivery to one recipient by one channel."""

    route_id: str
    status: str
    generation: int
    attempts: int
    max_attempts: int
    due_at_ms: int | None
    lease: Lease | None
    failure: Failure | None
    stream_id: str
    why: str
    history: list[Transition]


class Notification(BaseModel):
    """What `galaxy-notify show --json` prints."""

    notification_id: str
    type: str
    producer: str
    severity: str
    created_at_ms: int | None
    due_at_ms: int | None
    expires_at_ms: int | None
    request_id: str
    trace_id: str
    open: int
    ttl_ms: int | None
    parts: int
    routes: list[Route]
    payload: dict[str, Any] | None = None


class DeadLetter(BaseModel):
    """What `galaxy-notify dead ls --json` prints in a line."""

    id: str
    channel: str
    recipient: str
    type: str
    producer: str
    class_: str = Field(alias="class")
    message: str
    attempts: int
    generation: int
    dead_at_ms: int
    worker: str


class DeadLetters(BaseModel):
    """Dead letters, the oldest first; *complete* is false where the search took too long."""

    dead_letters: list[DeadLetter]
    complete: bool


class Query(BaseModel):
    """The query of a path: what it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class AcceptQuery(Query):
    """How to accept."""

    notification_id: Annotated[str, Field(pattern=NOTIFICATION)] | None = Field(
        None, description="Repeat an accept that was answered 503, under the id of that answer"
    )


class RouteQuery(Query):
    """Which route of a notification."""

    route: Annotated[str, Field(pattern=f"^{CHANNEL}:{RECIPIENT}$")] | None = Field(
        None, description="Only this route: push:user-7"
    )


class ShowQuery(RouteQuery):
    """What to show of a notification."""

    payload: bool = Field(False, description="Also title, body and data")


class DeadQuery(Query):
    """Which dead letters; a filter given twice takes either."""

    channel: list[Annotated[str, Field(pattern=f"^{CHANNEL}$")]] = Field([], max_length=20)
    type: list[str] = Field([], max_length=20)
    producer: list[str] = Field([], max_length=20)
    class_: list[str] = Field([], max_length=20, alias="class")
    since: str | None = Field(
        None, description="Died then or later: RFC 3339, epoch ms, or so long ago (15m, 2h, 3d)"
    )
    until: str | None = Field(None, description="Died then or before")
    limit: int = Field(100, ge=1, le=1000, description="At most so many, the oldest first")

    @property
    def narrows(self) -> bool:
        """Tell whether it has a filter; a limit alone picks nothing."""
        return any((self.channel, self.type, self.producer, self.class_, self.since, self.until))


class Replay(DeadQuery):
    """Which dead letters to send on their way again: ids, or a filter, or all."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[str] = Field([], max_length=100)
    all: bool = False
    dry_run: bool = False


class Moved(BaseModel):
    """What became of the dead letters that were asked for."""

    dry_run: bool
    matched: int
    moved: int
    gone: int
    failed: int
    unknown: int
    reasons: dict[str, int]
    stopped: bool


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(Alive):
    """A write reached the primary and came back."""

    write_ms: float


class Status(BaseModel):
    """What `galaxy-notify status --json` prints."""

    model_config = ConfigDict(extra="allow")

    at_ms: int
    server: dict[str, str]
    shards: int
    channels: dict[str, dict[str, Any]]
    totals: dict[str, int]
    streams: dict[str, dict[str, Any]]
    workers: list[dict[str, Any]]
