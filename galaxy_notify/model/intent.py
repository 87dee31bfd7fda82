"""The intent that a producer submits, validated as a whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Annotated, Any, Final, Literal, Protocol, Self, TypeAlias, cast

import msgpack
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    ModelWrapValidatorHandler,
    PlainValidator,
    Strict,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model import json_data, moments, refusals
from galaxy_notify.model.ids import CHANNEL, NAME, RECIPIENT
from galaxy_notify.model.wording import duration

#: More fields than an intent has: some of them must be unknown.
_MOST_FIELDS: Final = 64
_SORTED_AT_ONCE: Final = 1 << 15
_NESTED: Final = frozenset({dict, list})
TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def _matching(pattern: str) -> StringConstraints:
    return StringConstraints(strict=True, pattern=f"^(?:{pattern})$")


def _list_of(item: object) -> GetPydanticSchema:
    """Accept any sequence of text for a field, and store a tuple of *item*."""

    def schema(_source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        items = tuple[item, ...]  # type: ignore[valid-type]  # a type known at run time only
        return handler.generate_schema(Annotated[items, Field(min_length=1), FailFast()])

    return GetPydanticSchema(schema)


def _moment(value: object) -> int:
    try:
        return moments.to_ms(value)
    except ValueError as error:
        raise PydanticCustomError("moment", "{reason}", {"reason": str(error)}) from None


def checked_data(value: object) -> dict[str, Any]:
    """Return a copy of data; raise the error of pydantic that names the place in it."""
    try:
        return json_data.copy_of(value)
    except json_data.UnfitData as unfit:
        raise _unfit(unfit.message, unfit.path) from None
    except Exception as error:  # a third-party mapping may raise anything
        if json_data.interrupts(error, value):
            raise
        raise _unfit(f"cannot be read: {type(error).__name__}") from error


def _unfit(reason: str, path: str = "") -> PydanticCustomError:
    return PydanticCustomError("data", "{reason}", {"reason": reason, "path": path})


def _traceparent(value: str) -> str:
    if not TRACEPARENT.fullmatch(value):
        raise PydanticCustomError("traceparent", "not a W3C traceparent")
    return value


Name: TypeAlias = Annotated[str, _matching(NAME)]
Channel: TypeAlias = Annotated[str, _matching(CHANNEL)]
Recipient: TypeAlias = Annotated[str, _matching(RECIPIENT)]
# With a bound on the length pydantic decodes the text, and so refuses lone surrogates.
Text: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=0)]
Key: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
TraceText: TypeAlias = Annotated[str, _matching("[ -~]{1,128}")]
Moment: TypeAlias = Annotated[datetime | str | int | float, PlainValidator(_moment)]
Attempts: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=1000)]
Severity: TypeAlias = Literal["info", "notice", "warning", "critical"]


class Content(Protocol):
    """The part of an intent that recipients see."""

    @property
    def severity(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


class Intent(BaseModel):
    """A notification to send to its recipients; raises `InvalidIntent` for the first bad field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Name
    producer: Name
    recipients: Annotated[Sequence[str], _list_of(Recipient)]
    channels: Annotated[Sequence[str], _list_of(Channel)] = ("push",)
    severity: Severity = "info"
    title: Text = ""
    body: Text = ""
    data: Annotated[Mapping[str, Any], PlainValidator(checked_data)] = Field(default_factory=dict)
    idempotency_key: Key | None = None
    collapse_key: Key | None = None
    due_at: Moment | None = None
    expires_at: Moment | None = None
    max_attempts: Attempts | None = None
    request_id: TraceText | None = None
    trace_id: TraceText | None = None
    traceparent: Annotated[str, Strict(), AfterValidator(_traceparent)] | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_plainly(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            intent = handler(value)
        except ValidationError as error:
            raise refusals.refusal(error) from None
        except Exception as error:  # a third-party mapping or sequence may raise anything
            if json_data.interrupts(error, value):
                raise
            raise _unreadable(error) from error
        if intent.expires_at is not None and intent.due_at is not None:
            _check_order(cast("Any", intent.due_at), cast("Any", intent.expires_at))
        return intent

    @classmethod
    def parse(cls, value: object) -> Intent:
        """Return the intent that a mapping describes, or the intent itself."""
        if isinstance(value, Intent):
            return value
        if not isinstance(value, Mapping):
            raise InvalidIntent("", f"an intent is an object, not {json_data.kind_of(value)}")
        try:
            fields = dict(value)
        except Exception as error:  # a third-party mapping may raise anything
            if json_data.interrupts(error, value):
                raise
            raise _unreadable(error) from error
        if len(fields) > _MOST_FIELDS:
            # pydantic would collect one error for each of a million unknown fields.
            unknown = next(name for name in fields if name not in cls.model_fields)
            raise InvalidIntent(json_data.printable(unknown), "unknown field")
        return cls.model_validate(fields)

    @property
    def names_channels(self) -> bool:
        """Whether the intent names channels, instead of leaving the choice to its recipients."""
        return "channels" in self.model_fields_set

    @property
    def due_at_ms(self) -> int | None:
        """The due time in epoch ms; None is at once."""
        return self.due_at  # type: ignore[return-value]  # validated, it is a number

    @property
    def expires_at_ms(self) -> int | None:
        """The expiry in epoch ms; None is never."""
        return self.expires_at  # type: ignore[return-value]  # validated, it is a number


def _unreadable(error: Exception) -> InvalidIntent:
    return InvalidIntent("", f"an intent that cannot be read: {type(error).__name__}")


def _check_order(due_ms: int, expires_ms: int) -> None:
    if expires_ms <= due_ms:
        raise InvalidIntent("expires_at", "must be later than due_at")


def due_moment(value: object) -> int:
    """Return a due time, in any form that an intent takes, in epoch ms; raise `InvalidIntent`."""
    try:
        return moments.to_ms(value)
    except ValueError as error:
        raise InvalidIntent("due_at", str(error)) from None


def check_due(due_ms: int | None, *, now_ms: int, past_due_ms: int) -> None:
    """Refuse a due time more than *past_due_ms* ago; with 0 any past time means now."""
    if past_due_ms and due_ms is not None and now_ms - due_ms > past_due_ms:
        message = f"is {duration(now_ms - due_ms)} ago, the limit is {duration(past_due_ms)}"
        raise InvalidIntent("due_at", message)


def check_intent(
    intent: Intent, *, channels: Collection[str], now_ms: int, past_due_ms: int = 0
) -> None:
    """Raise `InvalidIntent` for an unknown channel, a due time too long ago, or a past expiry.

    Channels that the intent does not name are not looked at.
    """
    for index, channel in enumerate(intent.channels if intent.names_channels else ()):
        if channel not in channels:
            message = refusals.unknown_channel(channel, channels)
            raise InvalidIntent(f"channels[{index}]", message)
    check_due(intent.due_at_ms, now_ms=now_ms, past_due_ms=past_due_ms)
    if intent.expires_at_ms is not None and intent.expires_at_ms <= now_ms:
        raise InvalidIntent("expires_at", "must be later than now")


def routes_of(intent: Intent) -> list[str]:
    """Return the ids of the requested routes, each once, sorted.

    Those of an intent without channels are of `push`, whatever the deployment's default is: so its
    digest stays the same when that changes.
    """
    if len(intent.recipients) == 1 == len(intent.channels):
        return [f"{intent.channels[0]}:{intent.recipients[0]}"]
    return _in_order(
        {f"{channel}:{recipient}" for channel in intent.channels for recipient in intent.recipients}
    )


def _in_order(routes: set[str]) -> list[str]:
    """Sort routes; many in pieces, since no other thread runs during one sort."""
    if len(routes) <= _SORTED_AT_ONCE:
        return sorted(routes)
    rest = iter(routes)
    pieces: list[list[str]] = []
    while piece := sorted(islice(rest, _SORTED_AT_ONCE)):
        pieces.append(piece)
    return [*merge(*pieces)]


def pack_content(intent: Content) -> bytes:
    """Return severity, title, body and data as a packed map; raise `InvalidIntent` for bad data."""
    return _packed(intent, intent.data)


def canonical_content(intent: Intent, routes: Sequence[str], content: bytes) -> bytes:
    """Return the same bytes for the same content, in every process and for every order of keys.

    *routes* and *content* are those of the intent. The producer and the trace of a request are not
    included.
    """
    request = [intent.type, intent.due_at, intent.expires_at, intent.max_attempts, routes]
    if intent.collapse_key:
        request.append(intent.collapse_key)
    if not _is_sorted(intent.data):
        content = _packed(intent, _sorted(intent.data))
    packed: bytes = msgpack.packb(request) + content
    return packed


def _packed(intent: Content, data: Mapping[str, Any]) -> bytes:
    fields: dict[str, Any] = {"severity": intent.severity}
    if intent.title:
        fields["title"] = intent.title
    if intent.body:
        fields["body"] = intent.body
    if data:
        fields["data"] = data
    try:
        packed: bytes = msgpack.packb(fields)
    except (TypeError, ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise InvalidIntent("data", f"cannot be packed: {error}"[:200]) from error
    return packed


def _is_sorted(data: Mapping[str, Any]) -> bool:
    """Return True only if the data is flat and its keys are sorted; this check is cheap."""
    for item in data.values():
        if type(item) in _NESTED:
            return False
    return sorted(data) == list(data)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
