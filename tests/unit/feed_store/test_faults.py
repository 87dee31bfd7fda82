"""Which error a caller sees for what Postgres, PgBouncer or libpq said."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from galaxy_notify.errors import FeedRefused, FeedUnavailable, GalaxyNotifyError, Misconfigured
from galaxy_notify.feed_store.faults import Kind, error_for, kind_of

SERVER = "user galaxy at db:5432/feed"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.AdminShutdown("terminating connection"), FeedUnavailable, "57P01"),
        (errors.CannotConnectNow("the database system is starting up"), FeedUnavailable, "57P03"),
        (errors.TooManyConnections("sorry"), FeedUnavailable, "53300"),
        (errors.DiskFull("could not extend file"), FeedUnavailable, "53100"),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), FeedUnavailable, "read_only"),
        (errors.QueryCanceled("canceling statement"), FeedUnavailable, "timeout"),
        (errors.LockNotAvailable("canceling statement"), FeedUnavailable, "locked"),
        (errors.DeadlockDetected("deadlock detected"), FeedUnavailable, "40P01"),
        (errors.InternalError_("could not open relation"), FeedUnavailable, "XX000"),
        (psycopg.OperationalError("Connection refused"), FeedUnavailable, "connection"),
        (errors.ConnectionTimeout("connection timeout expired"), FeedUnavailable, "timeout"),
        (
            psycopg.OperationalError("SSL SYSCALL error: EOF detected"),
            FeedUnavailable,
            "connection",
        ),
        (psycopg.InterfaceError("the connection is lost"), FeedUnavailable, "connection"),
        (ConnectionResetError("reset"), FeedUnavailable, "connection"),
        (errors.InvalidPassword("authentication failed"), Misconfigured, "28P01"),
        (errors.InsufficientPrivilege("permission denied"), Misconfigured, "42501"),
        (errors.UndefinedTable('relation "feed_item" does not exist'), Misconfigured, "42P01"),
        (psycopg.OperationalError("FATAL: no such user: x"), Misconfigured, "connection"),
        (
            psycopg.OperationalError("FATAL: SASL authentication failed"),
            Misconfigured,
            "connection",
        ),
        (psycopg.OperationalError("root certificate file missing"), Misconfigured, "connection"),
        (psycopg.ProgrammingError("missing = after x"), Misconfigured, "connection"),
    ],
)
def test_error_for(error: Exception, kind: type[GalaxyNotifyError], code: str) -> None:
    """Outages pass by themselves; logins, rights and schemas are for an operator."""
    found = error_for(error, SERVER)
    assert type(found) is kind
    assert found.code == code  # type: ignore[attr-defined]
    assert SERVER in str(found)


@pytest.mark.parametrize(
    "error",
    [
        errors.CharacterNotInRepertoire("invalid byte sequence"),
        errors.CheckViolation("new row violates check constraint"),
        errors.ProgramLimitExceeded("index row size exceeds"),
        errors.DatetimeFieldOverflow("timestamp out of range"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        UnicodeEncodeError("utf-8", "secret \ud800", 7, 8, "surrogates not allowed"),
    ],
)
def test_error_for__a_row(error: Exception) -> None:
    """A row that cannot be stored is refused, without its contents."""
    found = error_for(error, SERVER)
    assert type(found) is FeedRefused
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (psycopg.OperationalError("password authentication failed"), "feed.url, feed.password: "),
        (psycopg.OperationalError('database "x" does not exist'), "feed.url: "),
        (
            psycopg.OperationalError("server does not support SSL"),
            "feed.url (sslmode, sslrootcert): ",
        ),
        (errors.UndefinedColumn("no column"), "the schema of the feed is not this version's; "),
        (errors.DuplicateTable("already exists"), "the schema has something else in it; "),
    ],
)
def test_error_for__names_the_setting(error: Exception, setting: str) -> None:
    """The line begins with what to look at."""
    assert str(error_for(error, SERVER)).startswith(setting)


def test_error_for__is_one_line() -> None:
    """A text of several lines becomes one, of bounded length."""
    found = str(error_for(psycopg.OperationalError("first\n\tsecond" + "x" * 5000), SERVER))
    assert "first second" in found
    assert len(found) < 500


def test_error_for__repeats_no_question() -> None:
    """What libpq asks is left out: a log has room for the reason and the server."""
    asked = 'port 1 failed: Connection refused\n\tIs the server running on "h" and accepting?'
    found = str(error_for(psycopg.OperationalError(asked), SERVER))
    assert found.endswith(f"port 1 failed: Connection refused ({SERVER})")


@pytest.mark.parametrize("error", [errors.DeadlockDetected, errors.SerializationFailure])
def test_kind_of__what_is_run_again(error: type[psycopg.Error]) -> None:
    """Transactions that were rolled back for the sake of others are run again."""
    assert kind_of(error("rolled back")) is Kind.AGAIN
