"""The shapes of what is answered, for the OpenAPI document and for what reads it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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


class Listed(BaseModel):
    """What `galaxy-notify list --json` prints in a line; what cannot be read is null."""

    notification_id: str
    type: str | None
    producer: str | None
    severity: str | None
    accepted_at_ms: int
    created_at_ms: int | None
    due_at_ms: int | None
    expires_at_ms: int | None
    routes: int | None
    open: int
    cancelled: bool
    parts: int | None
    state: str | None
    states: dict[str, int] | None


class Notifications(BaseModel):
    """A page of what was accepted; a cursor tells where the next one begins, null that there is
    none. *unlisted* are keys in Redis that hold something else than a list.
    """

    notifications: list[Listed]
    cursor: str | None
    unlisted: list[str]


class Moved(BaseModel):
    """What a reschedule did."""

    notification_id: str
    route: str | None
    moved: int
    too_late: int


class StoredPreferences(BaseModel):
    """What a user wants, as it is put; *unreadable* names what in Redis cannot be read."""

    user: str
    preferences: dict[str, Any]
    unreadable: list[str]


class ChangedPreferences(StoredPreferences):
    """What a user wants now, and whether that had to be changed."""

    changed: bool


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


class Replayed(BaseModel):
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
    redis: dict[str, Any]
    memory: dict[str, int | None] | None
