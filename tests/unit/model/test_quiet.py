"""Quiet hours by the user's clock: their boundaries, midnight, and when clocks are set."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.model.quiet import Quiet, is_zone, minute_of, quiet_until

BERLIN = "Europe/Berlin"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def quiet(start: str, end: str, zone: str = BERLIN) -> Quiet:
    """Return quiet hours as a user writes them."""
    first, last = minute_of(start), minute_of(end)
    assert first is not None
    assert last is not None
    return Quiet(first, last, zone)


def ms(text: str) -> int:
    """Return the epoch ms of a moment in RFC 3339."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MS


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-20T21:59:59.999+01:00", None),
        ("2026-11-20T22:00:00.000+01:00", "2026-11-21T07:00:00+01:00"),
        ("2026-11-20T23:59:59.999+01:00", "2026-11-21T07:00:00+01:00"),
        ("2026-11-21T00:00:00.000+01:00", "2026-11-21T07:00:00+01:00"),
        ("2026-11-21T06:59:59.999+01:00", "2026-11-21T07:00:00+01:00"),
        ("2026-11-21T07:00:00.000+01:00", None),
    ],
)
def test_quiet_until__spans_midnight(at: str, until: str | None) -> None:
    """The start is quiet, the end is not, to the millisecond."""
    found = quiet_until(quiet("22:00", "07:00"), ms(at))
    assert found == (until and ms(until))


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-20T12:59:59.999Z", None),
        ("2026-11-20T13:00:00.000Z", "2026-11-20T15:30:00Z"),
        ("2026-11-20T15:29:59.999Z", "2026-11-20T15:30:00Z"),
        ("2026-11-20T15:30:00.000Z", None),
    ],
)
def test_quiet_until__within_one_day(at: str, until: str | None) -> None:
    """Quiet hours may be a part of the day, too."""
    found = quiet_until(quiet("13:00", "15:30", "UTC"), ms(at))
    assert found == (until and ms(until))


def test_quiet_until__the_same_minute_twice_is_no_quiet() -> None:
    """From 08:00 to 08:00 is no time at all."""
    for hour in range(24):
        at = ms(f"2026-11-20T{hour:02d}:00:00Z")
        assert quiet_until(quiet("08:00", "08:00", "UTC"), at) is None


def test_quiet_until__up_to_midnight() -> None:
    """The last minute of a day ends where the next day begins."""
    late = quiet("22:00", "00:00", "UTC")
    assert quiet_until(late, ms("2026-11-20T23:59:59.999Z")) == ms("2026-11-21T00:00:00Z")
    assert quiet_until(late, ms("2026-11-21T00:00:00Z")) is None


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        # In Berlin the clock goes from 02:00 to 03:00 on 29 March 2026.
        (("22:00", "07:00"), "2026-03-28T23:00+01:00", "2026-03-29T07:00+02:00"),
        (("22:00", "02:30"), "2026-03-28T23:00+01:00", "2026-03-29T03:00+02:00"),
        (("02:15", "02:45"), "2026-03-29T03:00+02:00", None),
        (("02:15", "04:00"), "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),
        # It goes back from 03:00 to 02:00 on 25 October.
        (("22:00", "07:00"), "2026-10-24T23:00+02:00", "2026-10-25T07:00+01:00"),
        (("22:00", "02:30"), "2026-10-24T23:00+02:00", "2026-10-25T02:30+02:00"),
        (("22:00", "02:30"), "2026-10-25T02:45+02:00", None),
        (("22:00", "02:30"), "2026-10-25T02:10+01:00", "2026-10-25T02:30+01:00"),
        (("22:00", "03:00"), "2026-10-25T01:00+02:00", "2026-10-25T03:00+01:00"),
    ],
)
def test_quiet_until__when_clocks_are_set(
    hours: tuple[str, str], at: str, until: str | None
) -> None:
    """What counts is what the clock on the wall shows, in spring and in autumn."""
    assert quiet_until(quiet(*hours), ms(at)) == (until and ms(until))


def _is_quiet(hours: Quiet, at_ms: int) -> bool:
    """Say it anew: the minute that the clock shows lies within."""
    local = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(hours.zone))
    minute = local.hour * 60 + local.minute
    if hours.start <= hours.end:
        return hours.start <= minute < hours.end
    return minute >= hours.start or minute < hours.end


_HOURS = st.builds(
    Quiet,
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from([BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
# Around the clock changes of the first three, and anywhere.
_MOMENTS = st.sampled_from(
    [
        ms("2026-03-28T12:00Z"),
        ms("2026-10-24T12:00Z"),
        ms("2026-03-07T18:00Z"),
        ms("2026-04-04T03:00Z"),
    ]
).flatmap(lambda start: st.integers(start, start + 2 * 86_400_000))


@given(_HOURS, _MOMENTS | st.integers(10**12, 10**13 - 1))
def test_quiet_until__is_the_first_moment_that_is_not_quiet(hours: Quiet, at_ms: int) -> None:
    """Everything before it is quiet, it is not; what is not quiet is not deferred at all."""
    until = quiet_until(hours, at_ms)
    if until is None:
        assert not _is_quiet(hours, at_ms)
        return
    # Where all that is not quiet falls into the hour that a change of the clock skips, a day more.
    assert at_ms < until <= at_ms + 2 * 86_400_000
    assert not _is_quiet(hours, until)
    assert all(_is_quiet(hours, moment) for moment in range(at_ms, until, 300_000))
    assert _is_quiet(hours, until - 1)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "localtime",
        "posixrules",
        "Europe",
        "../etc/passwd",
        "/etc/localtime",
        "A\0B",
        "Ä",
        "A" * 99,
    ],
)
def test_zone__that_is_none_is_refused(name: str) -> None:
    """Nothing but the name of a zone is looked up, and a folder of zones is none."""
    assert not is_zone(name)
    assert quiet_until(Quiet(0, 1439, name), ms("2026-11-20T12:00Z")) is None


def test_zone__every_one_of_the_database_is_known() -> None:
    """Whatever a user's device calls its zone is taken."""
    unknown = {name for name in available_timezones() if not is_zone(name)}
    assert unknown <= {"localtime", "posixrules"}


def test_zone__needs_no_zones_of_the_machine() -> None:
    """Where the system has none, those that come with the package are used."""
    program = "from galaxy_notify.model.quiet import is_zone; print(is_zone('Europe/Berlin'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    "text", ["7:00", "24:00", "12:60", "12:00:00", "", "\u0661\u0662:00", None, 700]
)
def test_minute_of__anything_else_is_none(text: object) -> None:
    """A minute of the day has two digits, a colon and two digits."""
    assert minute_of(text) is None
