"""The questions that all queues are asked: what is counted, and that ours answers them."""

from __future__ import annotations

import pytest

from tests.bench.peers import PeerError
from tests.bench.queues import trials
from tests.bench.queues.brokers import Ours
from tests.bench.queues.records import (
    CHUNK_BYTES,
    RECORD,
    Record,
    check_each_once,
    opened_records,
    rate,
)
from tests.support.servers import main_server, running


def _done(*numbers: int) -> list[Record]:
    return [Record(number, 1000.0 + 10 * place) for place, number in enumerate(numbers)]


def test_records__have_each_job_once() -> None:
    """A job that is missing, done twice or unknown fails a trial."""
    check_each_once(_done(2, 0, 1), 3)
    for numbers in ((0, 1), (0, 1, 1), (0, 1, 2, 2), (0, 1, 3)):
        with pytest.raises(PeerError, match="of 3 jobs"):
            check_each_once(_done(*numbers), 3)


def test_records__are_read_whole() -> None:
    """A pipe takes a chunk at once, and a chunk has no part of a record."""
    assert CHUNK_BYTES % RECORD.size == 0
    with opened_records() as records, records.path.open("wb", buffering=0) as pipe:
        pipe.write(RECORD.pack(1, 20.0) + RECORD.pack(0, 10.0))
        assert records.wait_for_jobs([], 2, 1) == [Record(0, 10.0), Record(1, 20.0)]


def test_rate__is_counted_from_the_first_to_the_last() -> None:
    """Three jobs ten ms apart are a hundred a second."""
    assert rate(_done(0, 1, 2)) == pytest.approx(100)


def test_ours__adds_and_does_each_job() -> None:
    """Both ways of adding, and two consumers beside one daemon."""
    with running(main_server(), tcp=True) as server:
        ours = Ours(server)
        assert all(trials.added(ours, 200, verb) > 0 for verb in ("add", "bulk"))
        assert trials.done(ours, 200, 2) > 0


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("12 |  throw it\n    ^\nerror: Rate limit\n  at add (/a/b.js:1)\n", "error: Rate limit"),
        ("Traceback\nValueError: no\n", "ValueError: no"),
        ("killed\n", "killed"),
        ("", "no output"),
    ],
)
def test_reason__is_the_error_without_its_stack(output: str, reason: str) -> None:
    """A note names no path of the machine that measured."""
    assert trials._reason(output) == reason
