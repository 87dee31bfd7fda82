"""Faults of Redis and of the network, sorted by what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from redis import exceptions

from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.redis_client.tls import tls_trouble

_NOTE: Final = "_galaxy_notify_whereabouts"
#: What a call to Redis may raise; anything else is a defect of this package.
REDIS_ERRORS: Final = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
#: What reading a reply of another shape raises: hiredis over a map with a list for a key, redis-py
#: over a push of nothing, our own reader over fewer values than it expects. It is
#: caught where replies are read only (`wire`, `replies.reader`): elsewhere it is a defect.
GARBLED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Garbled(exceptions.ResponseError, ValueError):
    """A reply that has come whole, and is of no shape that its command answers with.

    In a pipeline it stands for that command alone: the replies to the others are read.
    """


#: The code of a call that was not sent because too many wait for a connection.
BUSY: Final = "busy"
#: The code of a reply that cannot be read; what was asked for may have been done.
UNREADABLE: Final = "reply"


class Remedy(Enum):
    """What to do about a fault."""

    #: Back off and try again; it passes by itself.
    RETRY = "retry"
    #: The primary may have moved, or a reply is unreadable: drop connections, look it up, retry.
    RESOLVE = "resolve"
    #: Credentials, permissions or the deployment are wrong: exit 78 at start, else wait long.
    CONFIGURE = "configure"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault's short code, what to do, and a bounded text without arguments.

    ``server`` and ``user`` are those of the connection; empty where they are not known.
    """

    code: str
    remedy: Remedy
    text: str
    server: str = ""
    user: str = ""
    #: What the user may not do, and what would allow it, where that was asked for.
    missing: str = ""

    @property
    def is_permanent(self) -> bool:
        """Return whether it stays until an operator changes a setting, a password or a right."""
        return self.remedy is Remedy.CONFIGURE

    @property
    def where(self) -> str:
        """Return the server, and the user where that matters; empty where the text has them."""
        if not self.server:
            return ""
        if self.is_permanent and self.code != "TLS":
            return f": {self.missing}" if self.missing else f" (user {self.user} at {self.server})"
        return "" if self.server in self.text else f" ({self.server})"

    @property
    def reason(self) -> str:
        """Return the text for a log, with server and user."""
        return self.text + self.where

    @property
    def is_refusal(self) -> bool:
        """Return whether Redis refuses every write at the moment."""
        return self.code in _REFUSALS

    @property
    def is_about_a_key(self) -> bool:
        """Return whether the user may run the command, but not on this key."""
        return self.code == "NOPERM" and _ON_A_KEY.search(self.text) is not None


#: No worker has created the deployment yet, or the server has lost it.
NO_DEPLOYMENT: Final = Fault(
    "no_deployment",
    Remedy.RETRY,
    "no deployment at this prefix yet: start galaxy-notify run",
)
#: It was created again with other shards: calls planned for the old ones must not be sent.
OTHER_DEPLOYMENT: Final = Fault(
    "other_deployment",
    Remedy.RETRY,
    "the number of shards of the deployment changed: repeat the call",
)


class RedisFault(GalaxyNotifyError):
    """A call to Redis failed; its scripts may run twice.

    Whether it took effect is unknown unless the server refused it. *outcome_unknown* means that an
    earlier try of the same call may have taken effect, even if the server refuses it now.
    """

    def __init__(self, fault: Fault, *, outcome_unknown: bool = False) -> None:
        # That text is complete, and is what users are shown.
        text = f"{fault.code}: {fault.text}{fault.where}"
        super().__init__(fault.text if fault.code == NO_DEPLOYMENT.code else text)
        self.fault = fault
        self.outcome_unknown = outcome_unknown

    @property
    def wrote_nothing(self) -> bool:
        """Return whether nothing was written for certain: the call was refused or not sent."""
        fault = self.fault
        return (
            fault.is_refusal or fault.is_permanent or fault.code == BUSY
        ) and not self.outcome_unknown

    def lacking(self, rights: str) -> RedisFault:
        """Return the same fault with the rights that the user lacks, as far as they are known."""
        return RedisFault(replace(self.fault, missing=rights), outcome_unknown=self.outcome_unknown)

    def with_unknown_outcome(self) -> RedisFault:
        """Return the same fault for a call of which an earlier try may have taken effect."""
        return RedisFault(self.fault, outcome_unknown=True)


_RESOLVE: Final = frozenset(
    {"READONLY", "NOREPLICAS", "MASTERDOWN", "UNBLOCKED", "MOVED", "CLUSTERDOWN", UNREADABLE}
)
_CONFIGURE: Final = frozenset({"WRONGPASS", "NOAUTH", "NOPERM", "CROSSSLOT", "TLS"})
_REFUSALS: Final = frozenset(
    {"OOM", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", "BUSY", "LOADING", "CLUSTERDOWN"}
    | {"MOVED", "ASK", "TRYAGAIN", "NOPERM", "NOAUTH", "WRONGPASS"}
)
_CODES: Final = _REFUSALS | {"WRONGTYPE", "CROSSSLOT", "NOSCRIPT", UNREADABLE}
# The first that fits counts: a timeout and a loading server are connection errors as well.
_OF_THE_LINK: Final = (
    ((exceptions.TimeoutError, TimeoutError), "timeout", Remedy.RETRY),
    ((exceptions.BusyLoadingError,), "LOADING", Remedy.RETRY),
    ((exceptions.ConnectionError, OSError), "connection", Remedy.RETRY),
    ((exceptions.InvalidResponse, Garbled), UNREADABLE, Remedy.RESOLVE),
)
# Redis 6.2 hides the code of an error inside a script behind "ERR Error running script".
_IN_SCRIPT: Final = re.compile(r"(?:@?user_script: ?\d+: )?-?([A-Z]{3,}) ")
# redis-py repeats the command with its arguments, which belong neither into a log nor on a screen.
_IN_PIPELINE: Final = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ")
_DENIED: Final = re.compile(r"can't (?:run|access)|no permissions|No permissions|ACL failure")

# What SELECT is answered while a connection is made.
_NO_DATABASE: Final = re.compile("DB index is out of range|SELECT is not allowed in cluster")
_ON_A_KEY: Final = re.compile(r"access (?:one of the keys|a key|at least one of the keys)")


def reply_code(text: str) -> str:
    """Return the code of an error reply, also where a script wraps it."""
    first = text.lstrip("-").split(" ", 1)[0]
    if _DENIED.search(text):
        return "NOPERM"
    if first in _CODES:
        return first
    for match in _IN_SCRIPT.finditer(text):
        if match[1] in _CODES:
            return match[1]
    return first if first.isupper() else "ERR"


def classify(error: BaseException) -> Fault:
    """Return the fault that *error* is, with the server it came from."""
    # While it connects, redis-py's asyncio client hides what the server said in the cause.
    said = (exceptions.ResponseError, exceptions.AuthenticationError)
    if type(error) is exceptions.ConnectionError and isinstance(error.__cause__, said):
        error = error.__cause__
    server, user = getattr(error, _NOTE, ("", ""))
    return replace(_classified(error), server=server, user=user)


def note(error: BaseException, connection: Any) -> None:
    """Store on an error the server and ACL user of its connection, for `classify`."""
    server = getattr(connection, "path", None) or address_of(connection)
    provider = getattr(connection, "credential_provider", None)
    user = getattr(provider, "username", None) or getattr(connection, "username", None)
    setattr(error, _NOTE, (str(server), str(user or "default")))


def address_of(connection: Any) -> str:
    """Return the ``host:port`` that a connection goes to."""
    host, port = getattr(connection, "host", ""), getattr(connection, "port", "")
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _classified(error: BaseException) -> Fault:
    if trouble := tls_trouble(error):
        return Fault("TLS", Remedy.CONFIGURE, trouble[:200])
    text = _bounded(error)
    if isinstance(error, exceptions.AuthenticationError):
        return Fault(_auth_code(error, text), Remedy.CONFIGURE, text)
    for kinds, code, remedy in _OF_THE_LINK:
        if isinstance(error, kinds):
            return Fault(code, remedy, text)
    return _reply_fault(error, text)


def fault_of(error: BaseException, what: str = "") -> RedisFault:
    """Return the fault to raise in place of a Redis or network error.

    *what* names what answered something unreadable. What is left of such a reply may still be on
    its way: its remedy is to drop the connections.
    """
    if isinstance(error, RedisFault):
        return error
    if what and isinstance(error, Garbled):
        text = f"{what} returned an unreadable reply: {error}"[:200]
        return RedisFault(Fault(UNREADABLE, Remedy.RESOLVE, text))
    known = getattr(error, "fault", None)
    return RedisFault(known if isinstance(known, Fault) else classify(error))


@contextmanager
def as_fault(what: str) -> Iterator[None]:
    """Raise `RedisFault` for every error of a call to Redis; see `fault_of`."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise fault_of(error, what) from error


def fault_in(text: str) -> Fault:
    """Return the fault in a text: an error reply, or ``<code>: <text>``."""
    code = reply_code(text.replace(": ", " ", 1))
    return Fault(code, _remedy_of(code), text[:200])


def _remedy_of(code: str) -> Remedy:
    if code in _CONFIGURE:
        return Remedy.CONFIGURE
    return Remedy.RESOLVE if code in _RESOLVE else Remedy.RETRY


def _reply_fault(error: BaseException, text: str) -> Fault:
    """Return the fault for a server's error reply."""
    # redis-py takes the code off the text of the errors it knows, and keeps it beside.
    known = str(getattr(error, "status_code", None))
    code = known if known in _CODES else reply_code(str(error))
    if code not in _CONFIGURE and _NO_DATABASE.search(text):
        reason = f"redis.url: the server has no such database: {text}"
        return Fault(code, Remedy.CONFIGURE, reason[:200])
    return Fault(code, _remedy_of(code), text)


def _auth_code(error: exceptions.AuthenticationError, text: str) -> str:
    code = reply_code(f"{getattr(error, 'status_code', None) or ''} {text}".strip())
    if code in _CONFIGURE:
        return code
    # redis-py takes the code off the text, and does not always keep it.
    return "WRONGPASS" if "invalid" in text or "password pair" in text else "NOAUTH"


def _bounded(error: BaseException) -> str:
    # redis-py wraps where a slot has gone to into a tuple.
    message = error.message if isinstance(error, exceptions.AskError) else error
    text = " ".join(str(message).split()) or type(error).__name__
    return _IN_PIPELINE.sub("", text)[:200]
