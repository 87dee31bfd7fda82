"""The trial of a disk: what servers answer, and what it makes of that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault

DONE, NOT_YET = [1, 0], [0, 0]


def tried(waits: Iterable[Any], durability: str = "aof") -> int:
    """Run the trial against answers to WAITAOF; return how many of them it asked for."""
    confirm = Confirmation.of(durability)
    assert confirm
    trial, answers, asked = confirm.trial("mark"), iter(waits), 0
    reply: Any = None
    try:
        while True:
            read = trial.send(reply)
            is_wait = read.command[0] == "WAITAOF"
            reply = next(answers) if is_wait else "OK"
            asked += is_wait
    except StopIteration:
        return asked


def test_trial__passes_a_disk_that_has_each_write_at_once() -> None:
    """So does `appendfsync always`, however slow the disk is."""
    assert tried([DONE] * 3) == 3


@pytest.mark.parametrize("before", [0, 1, 2])
def test_trial__refuses_a_disk_that_is_late_each_time(before: int) -> None:
    """So is `everysec`: the first writes of a second may be in time, the next one is not."""
    late = [*[DONE] * before, NOT_YET, DONE]
    with pytest.raises(ConfigurationError, match=r"appendfsync always .*CONFIG SET appendfsync"):
        tried([*late, *late[:-1]])


def test_trial__passes_a_disk_that_was_late_once() -> None:
    """The first rewrite of the file may have ended meanwhile."""
    assert tried([NOT_YET, DONE, DONE, DONE, DONE]) == 5


def test_trial__waits_for_a_disk_that_has_nothing_yet() -> None:
    """The file may be being rewritten for the first time: that passes."""
    with pytest.raises(RedisFault, match=r"unconfirmed.*appendfsync always"):
        tried([NOT_YET, NOT_YET])


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("unknown command 'WAITAOF'"),
        ResponseError("WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
        NoPermissionError("this user has no permissions to run the 'waitaof' command"),
    ],
)
def test_trial__refuses_a_server_that_cannot_wait(error: Exception) -> None:
    """The setting is named, and what the server said."""
    with pytest.raises(ConfigurationError, match=r"^redis\.durability: "):
        tried([error])


def test_trial__is_not_for_replicas() -> None:
    """They may be away for a while."""
    assert tried([], "replicas:1") == 0
