"""Every error galaxy-notify raises on purpose.

GalaxyNotifyError
├── Invalid                    what was handed in was refused; names the field
│   ├── InvalidIntent          an intent
│   ├── InvalidPreference      a user's preferences
│   └── InvalidQuery           what somebody wants to see
├── ConfigurationError         a setting is wrong, or does not fit the deployment (exit 78)
│   └── Misconfigured          Redis refuses us until somebody changes a setting or a right
├── Unavailable                Redis is away: whether the call took effect is unknown
│   └── ServerRefused          Redis refused the call just now: nothing was written
├── AlreadyClosed              what was called has been closed
├── SourceFailed               what gives the intents raised; carries the receipts so far
├── Corrupt                    a stored record or state cannot be read
├── StreamRefused              the stream takes nothing (wrong type, ids exhausted, permission)
└── TransientEncodingError     an encoder asks for another attempt
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any


class Portable(Exception):
    """An error that can be pickled and copied, and equals one of its class that says the same.

    So it comes whole out of a pool of processes, whatever its constructor takes.
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
    """What was handed in was refused; ``field`` says where, ``message`` why, ``code`` the kind.

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


class InvalidPreference(Invalid):
    """A user's preferences were refused."""


class InvalidQuery(Invalid):
    """What somebody wants to see cannot be asked for."""


class ConfigurationError(GalaxyNotifyError):
    """A setting is wrong, or does not fit the deployment it meets."""


class CallFailed(GalaxyNotifyError):
    """A call to Redis failed; ``code`` is that of Redis, or ``timeout`` or ``connection``.

    After an accept, ``notification_id`` is the id to repeat it with. After an accept of many,
    ``receipts`` has one entry for each intent, None where it was not accepted or nothing is known
    of it; ``not_written`` has the places of those of which surely nothing was written.
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

    Nothing is known to be lost, and what is repeated under the same id takes effect once.
    """


class ServerRefused(Unavailable):
    """Redis answered that it takes no such call just now: nothing was written; repeat it later.

    It is out of memory, cannot write to its disk, is a replica, or still loads its data.
    """


class Misconfigured(CallFailed, ConfigurationError):
    """Redis refuses us until somebody changes a setting, a password or a right.

    Its text names the user, the server, and the right where one is missing. Repeating the call
    alone does not help.
    """


class AlreadyClosed(GalaxyNotifyError):
    """What was called has been closed: nothing was sent, and nothing will be; make another one."""

    @classmethod
    def named(cls, name: str) -> AlreadyClosed:
        """Return the error that names what was closed."""
        return cls(f"this {name} is closed: create a new one")


class SourceFailed(GalaxyNotifyError):
    """What gives the intents raised while it was read, which is the cause of this error.

    ``receipts`` has one for each intent that it gave before: those were accepted, or refused.
    """

    def __init__(self, message: str, receipts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.receipts = receipts


class Corrupt(GalaxyNotifyError):
    """A stored record or state cannot be read."""


class StreamRefused(GalaxyNotifyError):
    """The gateway stream takes nothing: wrong type, ids exhausted or no permission."""


class TransientEncodingError(GalaxyNotifyError):
    """An encoder raises it to ask for another attempt; any other exception is permanent."""


def _again(kind: type[Portable], args: tuple[Any, ...]) -> Portable:
    """Make an error with its arguments; what it holds beside them is set by whoever unpickles."""
    return kind.__new__(kind, *args)
