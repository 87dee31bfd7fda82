"""The last attempts to send to each endpoint of a user, on the user's own shard.

They are for people: nothing that is sent depends on them, but that an endpoint is disabled where
all of them failed for days.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgpack

from galaxy_notify.model.ids import first_part
from galaxy_notify.redis_client.flows import Flow, unwrap_or
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word

#: Attempts that one call may record.
MOST_RECORDED: Final = 64
#: Attempts that are kept of an endpoint, and for how long after the last one.
MOST_ATTEMPTS: Final = 50
KEPT_MS: Final = 7 * 86_400_000
#: Failures with more time between them say nothing of the time between.
GAP_MS: Final = 2 * 86_400_000
#: An endpoint that did nothing but fail for so long is disabled.
WORN_MS: Final = 5 * 86_400_000
#: Of a response, and of the text about an attempt.
MOST_RESPONSE: Final = 4096
_MOST_DETAIL: Final = 200

_ID_BYTES: Final = 8
_TYPES: Final = (int, str, str, int, str, str, object, int, str, str)
_UNREADABLE: Final = (ValueError, TypeError, RecursionError, OverflowError, MemoryError)


class EndpointAttempt(NamedTuple):
    """One attempt to send to an endpoint.

    *at_ms* is when it began, *attempt* its number for this event. *outcome*, *reason*, *detail* and
    *status* are those of `galaxy_notify.channels.attempt.Attempt`; *response* begins the body of
    the response, in up to 4 KiB.
    """

    at_ms: int
    event_id: str
    type: str
    attempt: int
    outcome: str
    reason: str = ""
    status: int | None = None
    took_ms: int = 0
    response: str = ""
    detail: str = ""

    @property
    def notification_id(self) -> str:
        """The id of the whole notification, as its receipt names it."""
        return first_part(self.event_id.partition("/")[0])

    def as_json(self) -> dict[str, Any]:
        """Return what the command line and the HTTP API show."""
        fields = self._asdict()
        return {"at_ms": fields.pop("at_ms"), "notification_id": self.notification_id, **fields}


class RecordedAttempt(NamedTuple):
    """An attempt at an endpoint of a user, ``<channel>/<id of the contact>``, to be recorded."""

    user: str
    endpoint: str
    attempt: EndpointAttempt


def attempt_record(keys: Keys, items: Sequence[RecordedAttempt]) -> ScriptCall:
    """Record at most `MOST_RECORDED` attempts at endpoints of users of one shard.

    Safe to repeat: an attempt is recorded once.
    """
    args: list[Argument] = [keys.tag, MOST_ATTEMPTS, KEPT_MS, GAP_MS]
    for user, endpoint, attempt in items:
        failed_at = 0 if attempt.outcome == "delivered" else attempt.at_ms
        args += (user, endpoint, _id_of(attempt), failed_at, _packed(attempt))
    return ScriptCall(script("attempt_record"), [keys.never], args)


class Recorded(NamedTuple):
    """What became of an attempt to be recorded.

    *failing_since_ms* is since when nothing was delivered to the endpoint; None if the last attempt
    was delivered. *reason* is why it was not recorded; empty otherwise.
    """

    failing_since_ms: int | None = None
    reason: str = ""


@reader
def read_recorded(reply: Any, items: int) -> list[Recorded]:
    """Read the answer to `attempt_record` of this many attempts."""
    found = calls.answers(reply, items)
    return [
        Recorded(reason=one.detail) if one.word == Word.FAULT else Recorded(int(one.detail) or None)
        for one in found
    ]


def attempts_flow(
    keys: Keys, user: str, endpoint: str, limit: int = MOST_ATTEMPTS
) -> Flow[list[EndpointAttempt]]:
    """Return the last attempts at an endpoint, ``<channel>/<id of the contact>``, newest first.

    Those that cannot be read are left out. Raises `RedisFault`.
    """
    (reply,) = yield [Command(["LRANGE", keys.attempts(user, endpoint), -2 * limit, -1])]
    return _read_attempts(unwrap_or(reply, []))


def failing_since_flow(keys: Keys, user: str, endpoint: str) -> Flow[int | None]:
    """Return since when nothing was delivered to an endpoint, in ms; None if that is not so.

    Raises `RedisFault`.
    """
    (reply,) = yield [Command(["LINDEX", keys.attempts(user, endpoint), -1])]
    return _failing_since(unwrap_or(reply, None))


@reader
def _read_attempts(reply: Sequence[bytes]) -> list[EndpointAttempt]:
    found = [_attempt(stored) for stored in reply[1::2]]
    return [one for one in reversed(found) if one is not None]


@reader
def _failing_since(stored: bytes | None) -> int | None:
    first = (stored or b"").partition(b" ")[0]
    return (int(first) or None) if first.isdigit() else None


def _attempt(stored: bytes) -> EndpointAttempt | None:
    """Return what is kept of an attempt behind the two times; None if it cannot be read."""
    *_, packed = stored.split(b" ", 2)
    try:
        fields = msgpack.unpackb(packed, max_ext_len=0, max_bin_len=0)
    except _UNREADABLE:
        return None
    if type(fields) is not list or len(fields) != len(_TYPES):
        return None
    if not all(map(isinstance, fields, _TYPES)):
        return None
    return EndpointAttempt(*fields)


def _packed(attempt: EndpointAttempt) -> bytes:
    bounded = attempt._replace(
        response=_bounded(attempt.response, MOST_RESPONSE),
        detail=_bounded(attempt.detail, _MOST_DETAIL),
    )
    packed: bytes = msgpack.packb(bounded)
    return packed


def _bounded(value: str, most: int) -> str:
    """Return text of at most so many bytes that UTF-8 can encode."""
    return value.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _id_of(attempt: EndpointAttempt) -> bytes:
    named = f"{attempt.event_id} {attempt.attempt} {attempt.at_ms}"
    return blake2b(named.encode(), digest_size=_ID_BYTES).digest()
