"""What becomes of an attempt, by the response or by the error that ended it."""

from __future__ import annotations

import errno
import ssl
import time
from email.utils import formatdate

import pytest

from galaxy_notify.channels.attempt import answered, failed
from galaxy_notify.channels.dialing import Unreachable
from galaxy_notify.channels.guard import Blocked
from galaxy_notify.channels.resolver import LookUpFailed
from galaxy_notify.channels.response import Garbled
from galaxy_notify.channels.wire import TooMuch


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_answered__is_delivered(status: int) -> None:
    """Any 2xx; what it asks for is of no importance."""
    made = answered(status, "120", b"thanks")
    assert made[:6] == ("delivered", "", "", status, None, "thanks")


@pytest.mark.parametrize("status", [0, 101, 301, 302, 307, 400, 401, 404, 408, 413, 429, 500, 503])
def test_answered__is_transient(status: int) -> None:
    """Any other, redirects too: an endpoint may be repaired."""
    made = answered(status, "", b"\xff")
    assert made[:6] == ("transient", "http_status", f"it answered {status}", status, None, "\ufffd")


def test_answered__is_gone() -> None:
    """410: the endpoint wants nothing any more."""
    assert answered(410, "", b"").outcome == "gone"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120_000),
        (" 0 ", 0),
        ("9999999999", 9_999_999_999_000),
        ("99999999999", None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0661", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 99 Oct 2015 99:99:99 GMT", None),
    ],
)
def test_retry_after__is_read(text: str, expected: int | None) -> None:
    """Seconds or a date; anything else is as if it was not there."""
    assert answered(503, text, b"").retry_after_ms == expected


def test_retry_after__is_a_date_ahead() -> None:
    """By this machine's clock."""
    found = answered(429, formatdate(time.time() + 3600, usegmt=True), b"").retry_after_ms
    assert found is not None
    assert 0 < found <= 3_601_000


@pytest.mark.parametrize(
    ("error", "outcome", "reason", "detail"),
    [
        (Blocked(), "permanent", "blocked", "the address is not allowed"),
        (LookUpFailed("the name has no address"), "transient", "dns", "the name has no address"),
        (Unreachable("Connection refused"), "transient", "connect", "Connection refused"),
        (Garbled("it is no HTTP response"), "transient", "garbled", "it is no HTTP response"),
        (TooMuch(), "transient", "garbled", "it sends too much"),
        (TimeoutError(), "transient", "timeout", "no answer in time"),
        (ConnectionResetError(104, "x"), "transient", "disconnected", "it closed the connection"),
        (OSError(errno.EHOSTUNREACH, "x"), "transient", "disconnected", "it closed the connection"),
        (ssl.SSLError(1, "x"), "transient", "tls", "the handshake failed"),
    ],
)
def test_failed__has_its_reason(error: Exception, outcome: str, reason: str, detail: str) -> None:
    """Only what the guard blocks is never tried again."""
    made = failed(error)
    assert (made.outcome, made.reason, made.detail) == (outcome, reason, detail)
    assert (made.status, made.retry_after_ms, made.response) == (None, None, "")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_failed__of_this_machine_is_no_attempt(number: int) -> None:
    """The endpoint has done nothing wrong: the route is released."""
    with pytest.raises(OSError, match="full") as raised:
        failed(OSError(number, "full"))
    assert raised.value.errno == number
