"""What became of an e-mail that an SMTP server did not take: its reply, or what ended the talk."""

from __future__ import annotations

import re
import ssl
from enum import Enum
from typing import Final

from galaxy_notify.channels.attempt import Attempt, failed

_ENHANCED: Final = re.compile(r"(?P<code>[245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s|$)")
_PERMANENT: Final = 5
#: Replies of RFC 4954: who we are is not accepted. That is nothing that an e-mail could help.
_IDENTITY: Final = frozenset({530, 534, 535, 538})
#: RFC 3463, X.7: policy. It says nothing about the mailbox, which must not be disabled for it.
_POLICY: Final = "5.7."


class Step(Enum):
    """What was asked of the server, by the words that people read."""

    GREETING = "the connection"
    TLS = "STARTTLS"
    IDENTITY = "the user and password"
    SENDER = "the sender"
    RECIPIENT = "the recipient"
    CONTENT = "the content"


_OPENING: Final = frozenset({Step.GREETING, Step.TLS, Step.IDENTITY})


class NotOffered(Exception):
    """The server does not offer what is needed; nothing was sent. The text says what."""


def replied(step: Step, code: int, text: str) -> Attempt:
    """Return the attempt that a negative reply ended.

    A 5yz at the recipient says that there is no such mailbox: ``gone``. At the sender or the
    content it refuses this e-mail: ``permanent``. Before these it says something about our account
    or the server, which another attempt may find mended.
    """
    enhanced = _ENHANCED.match(text)
    shown = f"{code} {enhanced['code']}" if enhanced else str(code)
    detail = f"{step.value} was answered with {shown}"
    if step is Step.IDENTITY or code in _IDENTITY:
        # Without a status: enough of these in a row let the host rest, and cost no attempts.
        return Attempt("transient", "auth", detail)
    if code // 100 != _PERMANENT or step in _OPENING:
        return Attempt("transient", "smtp_status", detail, code)
    is_policy = bool(enhanced and enhanced["code"].startswith(_POLICY))
    if step is Step.RECIPIENT and not is_policy:
        return Attempt("gone", "smtp_status", detail, code)
    return Attempt("permanent", "smtp_status", detail, code)


def broken(step: Step, error: Exception) -> Attempt:
    """Return the attempt that ended without a reply.

    Only once the content was begun may the server have the e-mail. Raises the error where it is
    this machine's: it has no more sockets or memory.
    """
    if isinstance(error, NotOffered):
        return Attempt("transient", "tls" if step is Step.TLS else "auth", str(error))
    attempt = failed(_cause(error))
    if step is Step.CONTENT or attempt.reason not in ("timeout", "disconnected"):
        return attempt
    if attempt.reason == "timeout":
        return Attempt("transient", "connect", "no reply in time")
    return Attempt("transient", "connect", "it closed the connection")


def _cause(error: Exception) -> Exception:
    """Return what a fault comes from: the library wraps it in one that names the host."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLError):
            return found
        found = found.__cause__
    return error
