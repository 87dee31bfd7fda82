"""When deliveries are due: delays, quiet hours before and behind them, and what expires first."""

from __future__ import annotations

import pytest

from galaxy_notify.model.decision import Delivery, Reason, Skip, delay_of
from galaxy_notify.model.preference import PreferenceFields, judge
from tests.support.judging import EVENING, MORNING, NIGHT, asked

MINUTE = 60_000
HOUR = 60 * MINUTE
#: An hour before the quiet hours begin.
DAY = EVENING - 2 * HOUR
QUIET = PreferenceFields(quiet=NIGHT)


def _decided(
    due_ms: int,
    delay_ms: int,
    expires_ms: int | None = None,
    *,
    deferring: tuple[str, ...] = ("push", "email"),
    severity: str = "info",
    mandatory: bool = False,
) -> dict[str, Delivery | Reason]:
    request = asked(
        *("push", "email", "in_app"),
        severity=severity,
        deferring=deferring,
        delays=(("email", delay_ms),),
        mandatory=mandatory,
    )
    decision = judge(request, QUIET, due_ms, expires_ms)
    skips = {channel: reason for channel, reason in decision.skips}
    return {one.channel: one for one in decision.deliveries} | skips


def test_delay__of_one_channel_leaves_the_others() -> None:
    """It is no time of day yet: the accept is by the clock of the server."""
    assert _decided(DAY, 5 * MINUTE) == {
        "push": Delivery("push"),
        "email": Delivery("email", None, 5 * MINUTE),
        "in_app": Delivery("in_app"),
    }


@pytest.mark.parametrize(
    ("due_ms", "delay_ms", "expected"),
    [
        # It ends when they begin, and a moment before.
        (DAY, HOUR, MORNING),
        (DAY, HOUR - 1, None),
        # It begins when they end, and may end in the next ones.
        (EVENING, 5 * MINUTE, MORNING + 5 * MINUTE),
        (EVENING, 15 * HOUR - 1, MORNING + 15 * HOUR - 1),
        (EVENING, 15 * HOUR, MORNING + 24 * HOUR),
        # It is longer than they are.
        (DAY, 11 * HOUR, None),
    ],
)
def test_delay__beside_quiet_hours(due_ms: int, delay_ms: int, expected: int | None) -> None:
    """They are asked before it and at its end."""
    email = _decided(due_ms, delay_ms)["email"]
    assert email == Delivery("email", expected, delay_ms)


def test_delay__where_quiet_hours_do_not_hold() -> None:
    """For a channel that they do not defer, what is critical and what is mandatory."""
    plain = Delivery("email", None, HOUR)
    assert _decided(DAY, HOUR, deferring=("push",))["email"] == plain
    assert _decided(EVENING, HOUR, severity="critical")["email"] == plain
    assert _decided(EVENING, HOUR, mandatory=True)["email"] == plain


@pytest.mark.parametrize(
    ("due_ms", "delay_ms", "expires_ms", "reason"),
    [
        (DAY, HOUR // 2, DAY + HOUR // 2, Reason.EXPIRES_FIRST),
        (DAY, HOUR // 2, DAY + HOUR // 2 + 1, None),
        (DAY, HOUR, DAY + 1, Reason.EXPIRES_FIRST),
        # The delay would be over in time, but not the quiet hours behind it.
        (DAY, HOUR, MORNING, Reason.QUIET_HOURS),
        (DAY, HOUR, MORNING + 1, None),
        # They would be over in time, but not the delay behind them.
        (EVENING, HOUR, MORNING, Reason.QUIET_HOURS),
        (EVENING, HOUR, MORNING + HOUR, Reason.EXPIRES_FIRST),
        (EVENING, HOUR, MORNING + HOUR + 1, None),
    ],
)
def test_delay__that_ends_too_late(
    due_ms: int, delay_ms: int, expires_ms: int, reason: Reason | None
) -> None:
    """What expires first is skipped, for the reason of which it does; the feed is not."""
    decided = _decided(due_ms, delay_ms, expires_ms)
    email = decided["email"]
    assert email == reason if reason else isinstance(email, Delivery)
    assert decided["in_app"] == Delivery("in_app")


@pytest.mark.parametrize(
    ("delivery", "state", "expected"),
    [
        (Delivery("email"), [None, DAY + 1, DAY], [DAY, DAY + 1, DAY]),
        (Delivery("email", None, 7), [7, DAY + 8, 7], [DAY + 7, DAY + 8, DAY + 7]),
        (Delivery("email", MORNING, 7), [MORNING] * 3, [MORNING] * 3),
    ],
)
def test_due_time__of_a_state(
    delivery: Delivery, state: list[int | None], expected: list[int]
) -> None:
    """Without a due time, in the future and now: a delay alone is counted from the accept."""
    given = (None, DAY + 1, DAY)
    assert [delivery.due_at_ms(one, DAY) for one in given] == state
    assert [delivery.expected_ms(one, DAY) for one in given] == expected


def test_delay__of_a_channel() -> None:
    """Without one it is none."""
    assert [delay_of((("email", 7),), name) for name in ("email", "push")] == [7, 0]
    assert Skip("email", Reason.EXPIRES_FIRST).reason == "expires_first"
