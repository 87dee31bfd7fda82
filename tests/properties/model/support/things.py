"""What the model is about: routes, notifications, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass
class Route:
    """One route, and where the indexes have it."""

    status: str
    due: int
    at: int
    generation: int = 1
    attempts: int = 0
    scheduled: int | None = None
    died: int | None = None
    lease: str | None = None
    left_behind: int = 0


@dataclass
class Notification:
    """A notification; ``gone_at`` is when it expires, None while a route needs it."""

    digest: bytes = b""
    keep: int = 0
    expires: int | None = None
    routes: list[str] = field(default_factory=list)
    cancelled: bool = False
    gone_at: int | None = None
    kept: int | None = None


class Asked(NamedTuple):
    """A notification as a producer hands it in."""

    notification_id: str
    digest: bytes
    routes: tuple[str, ...]
    due: int | None
    expires: int | None
    keep: int
    born_cancelled: bool = False


class Outcome(NamedTuple):
    """What a worker settles of one member."""

    word: str
    member: str
    delay: int = 0
    expires: int | None = None
    keep: int = 0
    attempt: bool = True
