"""What became of one attempt to send something to an endpoint."""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

from galaxy_notify.channels.dialing import OWN_FAULTS, Unreachable
from galaxy_notify.channels.guard import Blocked
from galaxy_notify.channels.resolver import LookUpFailed
from galaxy_notify.channels.response import Garbled
from galaxy_notify.channels.wire import TooMuch

Outcome = Literal["delivered", "transient", "permanent", "gone"]
Reason = Literal[
    "",
    "auth",
    "blocked",
    "connect",
    "disconnected",
    "dns",
    "garbled",
    "http_status",
    "invalid",
    "raised",
    "smtp_status",
    "template",
    "timeout",
    "tls",
    "too_large",
    "unconfirmed",
    "unsigned",
]

_GONE: Final = 410
_DELIVERED: Final = range(200, 300)
_LONGEST_SECONDS: Final = 10

#: The first that fits.
_REASONS: Final[list[tuple[type[Exception], Reason]]] = [
    (Blocked, "blocked"),
    (LookUpFailed, "dns"),
    (Unreachable, "connect"),
    (ssl.SSLError, "tls"),
    (Garbled, "garbled"),
    (TooMuch, "garbled"),
    (TimeoutError, "timeout"),
    (OSError, "disconnected"),
]


class Attempt(NamedTuple):
    """One attempt. *status* is that of the response, if there was one; *response* begins its body.

    ``delivered``: the status was 2xx. ``transient``: another attempt may succeed. ``gone``: the
    endpoint wants nothing any more (410), and its contact is disabled with the reason *gone_as*.
    ``permanent``: it cannot be sent there. *detail* is for people; it names no address and holds
    nothing of the response. *retry_after_ms* is what a response without 2xx asks for, unbounded.
    """

    outcome: Outcome
    reason: Reason = ""
    detail: str = ""
    status: int | None = None
    retry_after_ms: int | None = None
    response: str = ""
    gone_as: Literal["gone", "failing"] = "gone"


def answered(status: int, retry_after: str, body: bytes) -> Attempt:
    """Return the attempt that a response ends; *retry_after* is the value of that header."""
    response = body.decode("utf-8", "replace")
    if status in _DELIVERED:
        return Attempt("delivered", status=status, response=response)
    outcome: Outcome = "gone" if status == _GONE else "transient"
    wait = _wait_ms(retry_after)
    return Attempt(outcome, "http_status", f"it answered {status}", status, wait, response)


def failed(error: Exception) -> Attempt:
    """Return the attempt that an error ended before there was a response.

    Raises the error where it is this machine's: it has no more sockets or memory.
    """
    if isinstance(error, OSError) and error.errno in OWN_FAULTS:
        raise error
    reason = next(reason for kind, reason in _REASONS if isinstance(error, kind))
    outcome: Outcome = "permanent" if reason == "blocked" else "transient"
    return Attempt(outcome, reason, _detail(error, reason))


def _detail(error: Exception, reason: Reason) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.partition(",")[0]  # behind it, the host
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", "") or "the handshake failed").lower().replace("_", " ")
    own = {"timeout": "no answer in time", "disconnected": "it closed the connection"}
    return own.get(reason) or str(error)


def _wait_ms(retry_after: str) -> int | None:
    """Return the milliseconds of ``Retry-After``, in seconds or as a date; None if unreadable."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return int(text) * 1000 if len(text) <= _LONGEST_SECONDS else None
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0, int((at - time.time()) * 1000))
