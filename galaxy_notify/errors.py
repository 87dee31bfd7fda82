"""Every error galaxy-notify raises on purpose.

GalaxyNotifyError
├── Invalid                    invalid input; names the field
│   ├── InvalidIntent          an invalid intent
│   ├── InvalidPublication     an invalid publication in the feed of a user
│   ├── InvalidPreference      invalid preferences of a user
│   ├── InvalidPush            an invalid message to users
│   ├── InvalidContact         an invalid contact of a user
│   ├── InvalidEndpoint        the address of a webhook is not allowed
│   ├── InvalidEdge            an invalid key, value or threshold of an edge
│   ├── InvalidQuery           an invalid user, filter, limit or cursor
│   └── FeedRefused            Postgres refuses an item of the feed: too long, or not storable text
├── ConfigurationError         a setting is invalid or does not match the deployment (exit 78)
│   └── Misconfigured          a server refuses calls until a setting or a permission is changed
├── Unavailable                Redis is unavailable: the outcome of the call is unknown
│   ├── ServerRefused          Redis refused the call for now: nothing was written
│   └── FeedUnavailable        Postgres is unavailable: the outcome of the call is unknown
├── AlreadyClosed              the object was closed before the call
├── OtherEventLoop             the object runs in another event loop
├── InvalidSignature           a webhook is not signed with the secret, or not recent
├── StreamClosed               a user's stream has ended; carries the reason
├── SourceFailed               the iterable of intents raised; carries the receipts so far
├── Corrupt                    a stored record or state is unreadable
├── StreamRefused              the stream refuses writes (wrong type, ids exhausted, permission)
└── TransientEncodingError     raised by an encoder to request another attempt
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any


class Portable(Exception):
    """An error that can be pickled, copied and compared by class, arguments and fields.

    It therefore passes between processes unchanged.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__ or None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Portable) or type(self) is not type(other):
            return NotImplemented
        return self.args == other.args and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), str(self)))

    def __repr__(self) -> str:
        fields = (f"{name}={reprlib.repr(value)}" for name, value in self.__dict__.items() if value)
        return f"{type(self).__name__}({', '.join([*map(repr, self.args), *fields])})"


class GalaxyNotifyError(Portable):
    """The base of all errors of this package."""


class Invalid(GalaxyNotifyError):
    """Input was refused; ``field`` names the place, ``message`` the reason, ``code`` the kind.

    ``code`` is ``invalid``, ``conflict`` or ``too_large``.
    """

    def __init__(self, field: str, message: str, code: str = "invalid") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message
        self.code = code

    def __repr__(self) -> str:
        values = (self.field, self.message, self.code)
        return f"{type(self).__name__}({', '.join(map(repr, values))})"


class InvalidIntent(Invalid):
    """An intent was refused."""


class InvalidPublication(Invalid):
    """A notification for the feed of a user was refused."""


class InvalidPreference(Invalid):
    """A user's preferences were refused."""


class InvalidPush(Invalid):
    """A message to users was refused."""


class InvalidContact(Invalid):
    """A contact of a user was refused."""


class InvalidQuery(Invalid):
    """The user, a filter, the limit or the cursor of a query is invalid."""


class InvalidEndpoint(Invalid):
    """The address of a webhook is malformed or not allowed; the message never shows it."""


class InvalidEdge(Invalid):
    """The key, the value or a threshold of an edge was refused."""


class FeedRefused(Invalid):
    """Postgres refuses an item for what it holds; of the items of that call none was written.

    It is too long, or its text holds a NUL or half of a surrogate pair. Repeating does not help.
    """


class ConfigurationError(GalaxyNotifyError):
    """A setting is invalid or does not match the deployment."""


class CallFailed(GalaxyNotifyError):
    """A call to a server failed; ``code`` is that of Redis, or ``timeout`` or ``connection``.

    After an accept, ``notification_id`` is the id to repeat it with. After an accept of many,
    ``receipts`` has one entry per intent, None if it was not accepted or its outcome is unknown;
    ``not_written`` has the indexes of intents of which certainly nothing was written.
    """

    def __init__(
        self,
        message: str,
        notification_id: str | None = None,
        receipts: Sequence[Any] = (),
        *,
        code: str = "",
        not_written: Sequence[int] = (),
    ) -> None:
        super().__init__(message)
        self.notification_id = notification_id
        self.receipts = receipts
        self.code = code
        self.not_written = tuple(not_written)


class Unavailable(CallFailed):
    """Redis did not answer in time: whether the call took effect is unknown; repeat it.

    A call repeated under the same id takes effect only once.
    """


class ServerRefused(Unavailable):
    """Redis refused the call for now: nothing was written; repeat it later.

    It is out of memory, cannot write to its disk, is a replica, or still loads its data.
    """


class FeedUnavailable(Unavailable):
    """Postgres did not answer, or refuses for now: whether the call took effect is unknown.

    Repeat it: a change of the feed that is repeated takes effect only once. ``code`` is
    ``connection``, ``timeout``, ``busy``, ``locked``, ``read_only``, or the SQLSTATE of Postgres.
    """


class Misconfigured(CallFailed, ConfigurationError):
    """A server refuses calls until a setting, a password or a permission is changed.

    The text names the user, the server and any missing permission. Repeating the call does not
    help.
    """


class AlreadyClosed(GalaxyNotifyError):
    """The object was closed before the call: nothing was sent; create a new one."""

    @classmethod
    def named(cls, name: str) -> AlreadyClosed:
        """Return the error that names what was closed."""
        return cls(f"this {name} is closed: create a new one")


class OtherEventLoop(GalaxyNotifyError):
    """The object works in another event loop; create one in each."""

    @classmethod
    def named(cls, name: str) -> OtherEventLoop:
        """Return the error that names the object."""
        return cls(f"this {name} works in another event loop: create one in each")


class InvalidSignature(GalaxyNotifyError):
    """A webhook is not signed with the secret, or was not signed recently: ignore the request."""


class StreamClosed(GalaxyNotifyError):
    """A user's stream has ended; its cursor opens the next one without a gap.

    ``reason`` is ``slow`` if the reader did not keep up, ``logout`` if the user was logged out,
    ``shutdown`` after `Streams.close`, ``failed`` if the work in the background failed (that error
    is the cause), and ``closed`` after the end of the block that opened the stream.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stream has ended: {reason}")
        self.reason = reason


class SourceFailed(GalaxyNotifyError):
    """The iterable of intents raised while it was read; its exception is the cause of this error.

    ``receipts`` has one receipt per intent read before: accepted or refused.
    """

    def __init__(self, message: str, receipts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.receipts = receipts


class Corrupt(GalaxyNotifyError):
    """A stored record or state is unreadable."""


class StreamRefused(GalaxyNotifyError):
    """The gateway stream refuses writes: wrong type, ids exhausted or no permission."""


class TransientEncodingError(GalaxyNotifyError):
    """Raised by an encoder to request another attempt; any other exception is permanent."""


def _again(kind: type[Portable], args: tuple[Any, ...]) -> Portable:
    """Make an error with its arguments; what it holds beside them is set by whoever unpickles."""
    return kind.__new__(kind, *args)
