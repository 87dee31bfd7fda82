"""A publication: a notification that a program puts into the feed of a user directly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypeAlias

import msgpack
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    StringConstraints,
    ValidationError,
    model_validator,
)

from galaxy_notify.errors import InvalidPublication
from galaxy_notify.model import json_data, refusals
from galaxy_notify.model.feed import NewItem
from galaxy_notify.model.ids import id_for_key, random_id
from galaxy_notify.model.intent import Key, Name, Recipient, Severity, Text, checked_data

#: More fields than a publication has: some of them must be unknown.
_MOST_FIELDS: Final = 64
_WHOLE_ID: Final = "^[0-9a-f]{32}$"
_NUL: Final = "\0"

Id: TypeAlias = Annotated[str, StringConstraints(strict=True, pattern=_WHOLE_ID)]


class Publication(BaseModel):
    """A notification for the feed of one user; raises `InvalidPublication` for the first bad field.

    ``idempotency_key`` makes the same id whenever the same producer gives it. ``notification_id``
    repeats a call whose outcome is unknown. A feed has each notification once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Recipient
    type: Name
    producer: Name
    severity: Severity = "info"
    title: Text = ""
    body: Text = ""
    data: Annotated[Mapping[str, Any], PlainValidator(checked_data)] = Field(default_factory=dict)
    idempotency_key: Key | None = None
    notification_id: Id | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_plainly(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            found = handler(value)
        except ValidationError as error:
            raise refusals.refusal(error, InvalidPublication) from None
        except Exception as error:  # a third-party mapping may raise anything
            if json_data.interrupts(error, value):
                raise
            raise _unreadable(error) from error
        found._check_text()
        return found

    @classmethod
    def parse(cls, value: object) -> Publication:
        """Return the publication that a mapping describes, or the publication itself."""
        if isinstance(value, Publication):
            return value
        if not isinstance(value, Mapping):
            kind = json_data.kind_of(value)
            raise InvalidPublication("", f"a publication is an object, not {kind}")
        try:
            fields = dict(value)
        except Exception as error:  # a third-party mapping may raise anything
            if json_data.interrupts(error, value):
                raise
            raise _unreadable(error) from error
        if len(fields) > _MOST_FIELDS:
            # pydantic would collect one error for each of a million unknown fields.
            unknown = next(name for name in fields if name not in cls.model_fields)
            raise InvalidPublication(json_data.printable(unknown), "unknown field")
        return cls.model_validate(fields)

    @property
    def may_repeat(self) -> bool:
        """Whether another publication may have the same id, by its key or because it names it."""
        return self.idempotency_key is not None or self.notification_id is not None

    def id_at(self, at_ms: int) -> str:
        """Return the id of the notification; without one, and without a key, another each time."""
        if self.idempotency_key is not None:
            return id_for_key(self.producer, self.idempotency_key)
        return self.notification_id or random_id(at_ms)

    def item(self, notification_id: str, at_ms: int, most_bytes: int) -> NewItem:
        """Return what the feed stores, published at *at_ms*.

        Raises `InvalidPublication` if the content has more than *most_bytes*, or if its data was
        changed after the check and cannot be packed.
        """
        try:
            payload: bytes = msgpack.packb(dict(self.data))
        except (TypeError, ValueError, RecursionError, OverflowError, MemoryError) as error:
            raise InvalidPublication("data", f"cannot be packed: {error}"[:200]) from error
        size = len(payload) + len(self.title.encode()) + len(self.body.encode())
        if size > most_bytes:
            field = "data" if self.data else "body" if self.body else "title"
            message = f"the content has {size} bytes, the limit is {most_bytes}"
            raise InvalidPublication(field, message, "too_large")
        return NewItem(
            self.user,
            notification_id,
            self.type,
            self.producer,
            self.severity,
            self.title,
            self.body,
            payload,
            at_ms,
        )

    def _check_text(self) -> None:
        """Refuse what Postgres cannot store as text."""
        for name, text in (("title", self.title), ("body", self.body)):
            if _NUL in text:
                raise InvalidPublication(name, "must not contain U+0000")


#: A publication, as an object or as its fields.
PublicationLike = Publication | Mapping[str, Any]


def _unreadable(error: Exception) -> InvalidPublication:
    return InvalidPublication("", f"a publication that cannot be read: {type(error).__name__}")
