"""``reschedule``: another due time, told with the exit codes of ``cancel``."""

from __future__ import annotations

import pytest

from tests.support.command import CommandLine
from tests.support.dead_letters import DeadLetterFixture
from tests.support.intents import PLAIN

LATER, LATER_MS = "2100-01-01T00:00:00Z", 4_102_444_800_000


def test_reschedule__tells_what_it_moved(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """All moved is 0, some 4, none 1, unknown 3; what was moved says by whom."""
    (made,) = command.accept({**PLAIN, "recipients": ["u1", "u2"]})
    assert command.run("reschedule", made, LATER).stdout == "moved 2 of 2 routes\n"
    assert command.told("show", made)["due_at_ms"] == LATER_MS
    command.run("cancel", made, "--route", "push:u1")
    done = command.run("reschedule", made, str(LATER_MS - 1))
    assert (done.exit_code, done.stdout) == (4, "moved 1 of 2 routes; too late for 1\n")
    assert command.run("reschedule", made, LATER, "--route", "push:u1").exit_code == 1
    for unknown in ("0" * 32, "no id", f"{made}/push:u9"):
        assert command.run("reschedule", unknown, LATER).exit_code == 3
    told = command.told("show", made)["routes"][1]
    assert (told["due_at_ms"], told["status"]) == (LATER_MS - 1, "pending")
    assert [line["event"] for line in told["history"]] == ["accepted", *["rescheduled"] * 2]
    assert told["history"][1]["worker"].startswith("cli:")
    assert told["why"].startswith("due in ")


def test_reschedule__has_a_shape_for_programs(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """The same keys as ``cancel``, with ``moved``."""
    (made,) = command.accept(PLAIN)
    told = command.told("reschedule", made, LATER)
    assert told == {"id": made, "route": None, "moved": 1, "too_late": 0, "unknown": False}


@pytest.mark.parametrize("due", ["tomorrow", "4102444800", "2100-01-01T00:00:00", "", "²"])
def test_reschedule__refuses_what_is_no_moment(due: str, command: CommandLine) -> None:
    """A due time that no intent may have is wrong usage, told in one line before anything else."""
    done = command.run("reschedule", "0" * 32, due)
    assert done.exit_code == 2
    assert "DUE" in done.stderr


def test_reschedule__past_the_expiry_is_refused(
    command: CommandLine, deployment: DeadLetterFixture
) -> None:
    """What the notification does not allow fails with the field and the reason."""
    (made,) = command.accept({**PLAIN, "expires_at": LATER})
    done = command.run("reschedule", made, LATER)
    assert done.exit_code == 1
    assert done.stderr == (
        f"galaxy-notify: due_at: must be earlier than expires_at, which is {LATER_MS}\n"
    )
