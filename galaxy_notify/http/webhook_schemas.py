"""The shapes of what is answered about endpoints of users, for the OpenAPI document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Webhook(BaseModel):
    """An endpoint of a user; *unreadable* says why it cannot be decrypted.

    *headers* are the names of its own. Until *old_secret_until_ms* requests are signed with a
    replaced secret, too.
    """

    id: str
    user: str
    channel: str
    url: str | None
    types: list[str] | None
    headers: list[str] | None
    created_at_ms: int | None
    old_secret_until_ms: int | None
    disabled_at_ms: int | None
    disabled_reason: str | None
    unreadable: str | None


class NewWebhook(Webhook):
    """An endpoint with its new secret, which is not shown again."""

    secret: str


class Webhooks(BaseModel):
    """The endpoints of a user, by channel and id."""

    user: str
    webhooks: list[Webhook]


class RemovedWebhook(BaseModel):
    """An endpoint that was removed."""

    id: str
    user: str


class WebhookTrial(BaseModel):
    """What became of a test event; *status* and *response* are those of the endpoint's answer."""

    id: str
    user: str
    channel: str
    webhook_id: str
    event_id: str
    type: str
    outcome: Literal["delivered", "transient", "permanent", "gone"]
    reason: str
    detail: str
    status: int | None
    took_ms: int
    response: str


class EndpointAttempt(BaseModel):
    """One attempt to send to an endpoint; *attempt* is its number for this event."""

    at_ms: int
    notification_id: str
    event_id: str
    type: str
    attempt: int
    outcome: str
    reason: str
    status: int | None
    took_ms: int
    response: str
    detail: str


class EndpointAttempts(BaseModel):
    """The last attempts at an endpoint, newest first."""

    id: str
    user: str
    attempts: list[EndpointAttempt]
