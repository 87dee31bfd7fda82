"""The shapes of what is answered, for the OpenAPI document and for what reads it.

What the command line prints too is in `operations.documents`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, RootModel

from galaxy_notify.operations.documents import DeadLetter, ListedNotification


class Fault(BaseModel):
    """What is wrong with one field, or one item; a *notification_id* is there to repeat it with."""

    field: str | None = None
    item: int | None = None
    notification_id: str | None = None
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


class RetractedNotification(BaseModel):
    """What a retraction reached: how many users, and how many waiting routes it cancelled."""

    notification_id: str
    users: int
    cancelled: int


class Notifications(BaseModel):
    """A page of what was accepted; a cursor tells where the next one begins, null that there is
    none. *unlisted* are keys in Redis that hold something else than a list.
    """

    notifications: list[ListedNotification]
    cursor: str | None
    unlisted: list[str]


class Moved(BaseModel):
    """What a reschedule did."""

    notification_id: str
    route: str | None
    moved: int
    too_late: int


class PublishedReceipt(BaseModel):
    """What became of a publication: the user has it now, had it before, or it was refused."""

    notification_id: str | None
    status: Literal["published", "duplicate", "refused"]
    error: Refusal | None


class PublishedItem(PublishedReceipt):
    """What became of one of many publications, by its place in the request, from 0 on."""

    item: int


class PublishedReceipts(BaseModel):
    """What became of many publications, in their order."""

    published: int
    duplicates: int
    refused: int
    receipts: list[PublishedItem]


class Published(RootModel[PublishedReceipt | PublishedReceipts]):
    """The receipt of one publication that the user had before, or those of a list."""


class FeedCounts(BaseModel):
    """How much of a user's feed is unread and unseen; of one epoch, the higher version is newer."""

    unread: int
    unseen: int
    version: int
    epoch: int


class ListedItem(BaseModel):
    """An item of a feed; times are null for what has not happened. *id* is that of its row."""

    id: int
    notification_id: str
    type: str
    producer: str
    severity: str
    title: str
    body: str
    data: Any
    created_at_ms: int
    at_ms: int
    seen_at_ms: int | None
    read_at_ms: int | None
    archived_at_ms: int | None
    delivered_via: list[str]


class FeedPage(BaseModel):
    """A page of a user's feed, newest first; *next* is the cursor of the next page, or null."""

    items: list[ListedItem]
    next: str | None
    counts: FeedCounts


class StoredPreferences(BaseModel):
    """What a user wants, as it is put; *unreadable* names what in Redis cannot be read."""

    user: str
    preferences: dict[str, Any]
    unreadable: list[str]


class ChangedPreferences(StoredPreferences):
    """What a user wants now, and whether that had to be changed."""

    changed: bool


class StoredContact(BaseModel):
    """Where a channel reaches a user; *unreadable* says why it cannot be decrypted."""

    id: str
    channel: str
    kind: str
    address: str | None
    data: dict[str, Any] | None
    created_at_ms: int | None
    disabled_at_ms: int | None
    disabled_reason: str | None
    unreadable: str | None


class StoredContacts(BaseModel):
    """The contacts of a user, by channel and id."""

    user: str
    contacts: list[StoredContact]


class ChangedContacts(StoredContacts):
    """The contacts of a user now, and whether that had to be changed."""

    changed: bool


class RemainingTrace(BaseModel):
    """What may still name a user who was forgotten, and until when."""

    what: str
    until: str


class ForgottenUser(BaseModel):
    """What was deleted of a user, and what ends by itself; *keys* says what was there in Redis.

    *complete* is false where the list of notifications was too long; *rows* null without a feed.
    """

    user: str
    keys: dict[str, bool]
    cancelled: int
    purged: int
    complete: bool
    rows: int | None
    remaining: list[RemainingTrace]


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
