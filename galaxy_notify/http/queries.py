"""Parameters of the paths, and the body of a replay."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from galaxy_notify.feed.asked import LIMIT, LIMIT_MAX
from galaxy_notify.http.request_schemas import ASKED, CHANNEL_NAME
from galaxy_notify.http.responses import not_valid
from galaxy_notify.model.failure_classes import FAILURE_CLASSES
from galaxy_notify.model.ids import CHANNEL, NAME, RECIPIENT, TARGET
from galaxy_notify.model.json_data import whole
from galaxy_notify.model.moments import moment_ms
from galaxy_notify.model.preference import SEVERITIES
from galaxy_notify.operations.list_filter import STATES

NOTIFICATION: Final = "^[0-9a-f]{32}$"

_MOMENT: Final = "RFC 3339, epoch ms, or an age (15m, 2h, 3d)"


def moment(field: str, text: str | None, now_ms: int) -> int | None:
    """Return the epoch ms of a time that was asked for; raise a `Problem` for an invalid one."""
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
        None,
        description="Repeat an accept that was answered with 503, with the notification_id of "
        "that response",
    )


class RouteQuery(Query):
    """Which route of a notification."""

    route: Annotated[str, Field(pattern=f"^{CHANNEL}:{RECIPIENT}$")] | None = Field(
        None, description="Only this route: push:user-7"
    )


class ShowQuery(RouteQuery):
    """What to show of a notification."""

    payload: bool = Field(False, description="Also return title, body and data")


# What the document says of values that are checked where they are used, with a clearer error.
Moment = Annotated[str, Field(json_schema_extra={"pattern": ASKED})]
State = Annotated[str, Field(json_schema_extra={"enum": list(STATES)})]
Class = Annotated[str, Field(json_schema_extra={"enum": list(FAILURE_CLASSES)})]
#: In the document one of the deployment's channels.
Channel = Annotated[str, Field(pattern=CHANNEL_NAME["pattern"])]
Type = Annotated[str, Field(json_schema_extra={"pattern": f"^{NAME}$"})]
Severity = Annotated[str, Field(json_schema_extra={"enum": list(SEVERITIES)})]
User = Annotated[str, Field(json_schema_extra={"pattern": f"^{RECIPIENT}$"})]
Id = Annotated[str, Field(json_schema_extra={"pattern": f"^{TARGET}$"})]


class ListQuery(Query):
    """Which notifications, and where the page begins; a filter given twice takes either."""

    state: list[State] = Field(
        [],
        max_length=20,
        description="Status of one of its routes (with user: of that user's routes), or open",
    )
    type: list[str] = Field([], max_length=20)
    producer: list[str] = Field([], max_length=20)
    user: User | None = Field(None, description="Recipient")
    since: Moment | None = Field(None, description=f"Accepted at or after this time: {_MOMENT}")
    until: Moment | None = Field(None, description="Accepted at or before this time")
    limit: int = Field(100, ge=1, le=100, description="Maximum number to return")
    cursor: str | None = Field(None, description="Cursor of the previous page")


class FeedQuery(Query):
    """Which items of a user's feed, and where the page begins; a type given twice takes either."""

    limit: int = Field(LIMIT, ge=1, le=LIMIT_MAX, description="Maximum number to return")
    cursor: str | None = Field(None, description="next of the previous page")
    unread: bool = Field(False, description="Only unread items")
    type: list[Type] = Field([], max_length=20)
    severity: Severity | None = Field(None)
    archived: bool = Field(False, description="Only archived items, which are not listed else")


class RotateQuery(Query):
    """How a secret is replaced."""

    at_once: bool = Field(False, description="Do not sign with the old secret any more")


class AttemptsQuery(Query):
    """How many attempts."""

    limit: int = Field(50, ge=1, le=50, description="Maximum number to return, newest first")


class DeadQuery(Query):
    """Which dead letters; a filter given twice takes either."""

    channel: list[Channel] = Field([], max_length=20)
    type: list[str] = Field([], max_length=20)
    producer: list[str] = Field([], max_length=20)
    class_: list[Class] = Field([], max_length=20, alias="class")
    since: Moment | None = Field(None, description=f"Died at or after this time: {_MOMENT}")
    until: Moment | None = Field(None, description="Died at or before this time")
    limit: int = Field(100, ge=1, le=1000, description="Maximum number to return, oldest first")

    @property
    def narrows(self) -> bool:
        """Return whether it has a filter; a limit alone picks nothing."""
        return any((self.channel, self.type, self.producer, self.class_, self.since, self.until))


_LISTS: Final = ("channel", "type", "producer", "class")
_TIMES: Final = ("since", "until")
_NO_FILTER: Final[dict[str, Any]] = {
    **{name: {"type": "array", "maxItems": 0} for name in _LISTS},
    **{name: {"type": "null"} for name in _TIMES},
}
_NO_IDS: Final = {"ids": {"type": "array", "maxItems": 0}}
_SOME: Final = {"type": "array", "minItems": 1}
_BY_IDS: Final = {
    "required": ["ids"],
    "properties": {**_NO_FILTER, "ids": _SOME, "all": {"const": False}},
}
_BY_ALL: Final = {"required": ["all"], "properties": {**_NO_IDS, "all": {"const": True}}}
_BY_LIST: Final = [{"required": [name], "properties": {**_NO_IDS, name: _SOME}} for name in _LISTS]
_BY_TIME: Final = [
    {"required": [name], "properties": {**_NO_IDS, name: {"type": "string", "minLength": 1}}}
    for name in _TIMES
]
#: A replay says which: by ids, or by a filter, or all.
_WAYS: Final[list[Any]] = [_BY_IDS, _BY_ALL, *_BY_LIST, *_BY_TIME]


class Replay(DeadQuery):
    """Which dead letters to send on their way again: ids, or a filter, or all."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"anyOf": _WAYS})

    limit: Annotated[int, BeforeValidator(whole)] = Field(100, ge=1, le=1000)
    ids: list[Id] = Field([], max_length=100)
    all: bool = False
    dry_run: bool = False
    may_repeat: bool = Field(False, description="Also replay what may have been sent")
