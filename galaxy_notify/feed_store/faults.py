"""Faults of Postgres, sorted into the errors that callers see."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

import psycopg
from psycopg import errors as sqlstates

from galaxy_notify.errors import FeedRefused, FeedUnavailable, GalaxyNotifyError, Misconfigured

#: What a call to Postgres may raise; anything else is a defect of this package.
POSTGRES_ERRORS: Final = (psycopg.Error, OSError, UnicodeEncodeError)

_LONGEST: Final = 300

# While a connection is made there is no SQLSTATE, only what the server, PgBouncer or libpq says.
_LOGIN: Final = re.compile(
    r"authentication failed|no password supplied|role \".*\" does not exist|no such user"
    r"|pg_hba\.conf|not permitted to log in|permission denied for database"
)
_DATABASE: Final = re.compile(r"database \".*\" does not exist|no such database")
_URL: Final = re.compile(r"connection option|invalid \w+ value|invalid port")
_TLS: Final = re.compile(r"SSL|certificate|sslrootcert|sslkey", re.IGNORECASE)
# The server went away in the middle of the greeting: an outage, whatever else libpq says of it.
_ENDED: Final = re.compile(r"EOF|reset by peer|closed the connection|timed? ?out", re.IGNORECASE)

# libpq's question is no reason, and in a log it would push the server's name out of the line.
_QUESTION: Final = re.compile(r"\s*Is the server running [^?]*\?")
# An object is there already: the schema is not empty, and no step says who made it.
_DUPLICATES: Final = ("42P07", "42710", "42P06", "42701")


class Kind(Enum):
    """What to do about a fault."""

    #: Two transactions waited for each other, and this one was rolled back: run it again.
    AGAIN = "again"
    #: A lock was not free in time; nothing was written.
    LOCKED = "locked"
    #: The row itself cannot be stored.
    REFUSED = "refused"
    #: It remains until an operator changes something.
    CONFIGURE = "configure"
    #: It passes by itself.
    AWAY = "away"


# By SQLSTATE, else by its class, the first two characters.
_KINDS: Final = {
    "40001": Kind.AGAIN,
    "40P01": Kind.AGAIN,
    "55P03": Kind.LOCKED,
    "22": Kind.REFUSED,
    "23": Kind.REFUSED,
    "54000": Kind.REFUSED,
    "28": Kind.CONFIGURE,
    "3D": Kind.CONFIGURE,
    "3F": Kind.CONFIGURE,
    "42": Kind.CONFIGURE,
}
#: The code of `FeedUnavailable` where a lock was not free in time.
LOCKED: Final = "locked"
_CODES: Final = {"57014": "timeout", "55P03": LOCKED, "25006": "read_only"}


def kind_of(error: BaseException) -> Kind:
    """Return what to do about an error of psycopg or of the network."""
    if isinstance(error, UnicodeEncodeError):
        return Kind.REFUSED
    state = getattr(error, "sqlstate", None)
    if state:
        return _KINDS.get(state) or _KINDS.get(state[:2]) or Kind.AWAY
    if isinstance(error, psycopg.DataError):
        return Kind.REFUSED
    # Without a SQLSTATE it is not the server that refuses: libpq cannot read the URL.
    is_url = isinstance(error, psycopg.ProgrammingError)
    return Kind.CONFIGURE if is_url or _setting(str(error)) else Kind.AWAY


def error_for(error: BaseException, server: str) -> GalaxyNotifyError:
    """Return the error to raise in place of one of psycopg or of the network.

    *server* is shown where the text of Postgres does not name it.
    """
    text, kind = _bounded(error), kind_of(error)
    state = getattr(error, "sqlstate", None) or ""
    if kind is Kind.REFUSED:
        return FeedRefused("", f"Postgres refuses it: {text}")
    if kind is Kind.CONFIGURE:
        return Misconfigured(f"{_what(state, text)}: {text} ({server})", code=state or "connection")
    # A server that is frozen takes all the time there is: unlike a blink, it is not tried again.
    is_late = isinstance(error, psycopg.errors.ConnectionTimeout)
    code = _CODES.get(state, state or ("timeout" if is_late else "connection"))
    return FeedUnavailable(f"Postgres is unavailable: {text} ({server})", code=code)


def late(server: str, seconds: float) -> FeedUnavailable:
    """Return the error of a call that Postgres did not answer in time."""
    return FeedUnavailable(
        f"Postgres is unavailable: no reply in {seconds:g} s ({server})", code="timeout"
    )


def busy(server: str, seconds: float) -> FeedUnavailable:
    """Return the error of a call that was not sent: all connections were in use."""
    text = f"all connections to Postgres were in use for {seconds:g} s ({server})"
    return FeedUnavailable(text, code="busy")


def _setting(text: str) -> str:
    """Return the setting to look at for an error while connecting, empty if it is an outage."""
    if _LOGIN.search(text):
        return "feed.url, feed.password"
    if _DATABASE.search(text) or _URL.search(text):
        return "feed.url"
    return (
        "feed.url (sslmode, sslrootcert)" if _TLS.search(text) and not _ENDED.search(text) else ""
    )


def _what(state: str, text: str) -> str:
    if not state:
        return _setting(text) or "feed.url"
    if state.startswith("28"):
        return "feed.url, feed.password"
    if state == sqlstates.InsufficientPrivilege.sqlstate:
        return "feed.url: the user lacks a permission"
    if state in _DUPLICATES:
        return "the schema has something else in it; give the feed a database of its own"
    if state.startswith("42"):
        return "the schema of the feed is not this version's; run galaxy-notify feed migrate"
    return "feed.url"


def _bounded(error: BaseException) -> str:
    # The detail of a refused row repeats its contents, which belong neither into a log nor on a
    # screen; the primary message does not.
    diagnosis = getattr(error, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error)
    if isinstance(error, UnicodeEncodeError):
        message = error.reason
    return " ".join(_QUESTION.sub("", message).split())[:_LONGEST] or type(error).__name__
