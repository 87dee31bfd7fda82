"""What may be asked: the parameters of the paths, and the bodies that are no intents."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from galaxy_notify.http.problems import not_valid
from galaxy_notify.model.ids import CHANNEL, RECIPIENT
from galaxy_notify.operations.dead_filter import moment_ms

NOTIFICATION: Final = "^[0-9a-f]{32}$"


_MOMENT: Final = "RFC 3339, epoch ms, or so long ago (15m, 2h, 3d)"


def moment(field: str, text: str | None, now_ms: int) -> int | None:
    """Return the epoch ms of a time that was asked for; raise a `Problem` for what is none."""
    if text is None:
        return None
    try:
        return moment_ms(text, now_ms)
    except ValueError as error:
        raise not_valid(field, str(error)) from None


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


class ListQuery(Query):
    """Which notifications, and where the page begins; a filter given twice takes either."""

    state: list[str] = Field(
        [], max_length=20, description="A status of one of its routes (those of the user), or open"
    )
    type: list[str] = Field([], max_length=20)
    producer: list[str] = Field([], max_length=20)
    user: str | None = Field(None, description="Who is told")
    since: str | None = Field(None, description=f"Accepted then or later: {_MOMENT}")
    until: str | None = Field(None, description="Accepted then or before")
    limit: int = Field(100, ge=1, le=100, description="At most so many")
    cursor: str | None = Field(None, description="Where the page before ended")


class DeadQuery(Query):
    """Which dead letters; a filter given twice takes either."""

    channel: list[Annotated[str, Field(pattern=f"^{CHANNEL}$")]] = Field([], max_length=20)
    type: list[str] = Field([], max_length=20)
    producer: list[str] = Field([], max_length=20)
    class_: list[str] = Field([], max_length=20, alias="class")
    since: str | None = Field(None, description=f"Died then or later: {_MOMENT}")
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
