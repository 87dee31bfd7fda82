"""The spill: read back in order and in batches, for one process, within bounds."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from galaxy_notify.background import spill_database
from galaxy_notify.background.spill import Spill
from galaxy_notify.errors import ConfigurationError
from tests.support.spills import INTENTS, LARGE, LONG, PAGE, everything, opened, written
from tests.support.wait import HANG_S, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path at which nothing is."""
    return tmp_path / "spill"


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_spill__is_read_back_in_order(path: Path, batch: int) -> None:
    """Everything comes back, in batches, also what is written meanwhile, and then it is empty."""
    with opened(path, batch=batch) as spill:
        spill.append(INTENTS[:20])
        first = spill.read(5, LARGE)
        spill.append(INTENTS[20:])
        assert first + everything(spill) == INTENTS
        spill.settle()
        spill.sync()
        assert path.stat().st_size == 2 * PAGE
        spill.append(INTENTS[:3])
        assert everything(spill) == INTENTS[:3]


def test_spill__reads_no_more_than_asked(path: Path) -> None:
    """A batch is bounded by number and bytes, and one that is larger comes alone."""
    with opened(path) as spill:
        spill.append([bytes(100), bytes(1 << 20), *[bytes(10)] * 5])
        sizes = [[len(one) for one in spill.read(3, 200)] for _ in range(5)]
    assert sizes == [[100], [1 << 20], [10, 10, 10], [10, 10], []]


def test_spill__is_read_in_the_batches_that_it_was_written_in(path: Path) -> None:
    """A batch is bounded by number and bytes when it is written, and never divided."""
    with opened(path, batch=4) as spill:
        spill.append([bytes(600_000)] * 3 + [b"x"] * 9)
        sizes = [len(spill.read(4, 1 << 20)) for _ in range(5)]
    assert sizes == [1, 1, 4, 4, 2]
    with opened(path, batch=2) as spill:
        assert (spill.found, len(spill.read(2, LARGE))) == (12, 2)


def test_spill__left_by_a_crash_is_found(path: Path) -> None:
    """What was written and not settled is there again; what was settled is not."""
    with opened(path) as spill:
        spill.append(INTENTS)
        spill.read(10, LARGE)
        spill.settle()
        spill.read(10, LARGE)
    with opened(path) as again:
        assert (again.found, again.damaged) == (40, 0)
        assert everything(again) == INTENTS[10:]


def test_spill__numbers_go_on_after_it_was_emptied(path: Path) -> None:
    """What is written after everything was sent is read, by this process and by the next."""
    with opened(path) as spill:
        for number in range(3):
            spill.append(INTENTS)
            assert everything(spill) == INTENTS, number
            spill.settle()
        spill.append(INTENTS[:5])
    with opened(path) as spill:
        spill.append(INTENTS[5:9])
        assert everything(spill) == INTENTS[:9]


def test_spill__has_one_user(path: Path) -> None:
    """A second notifier is refused in plain words, and may have it afterwards."""
    with opened(path), pytest.raises(ConfigurationError, match="in use by another notifier"):
        Spill(path, LARGE)
    with opened(path) as spill:
        assert spill.found == 0


def test_spill__keeps_other_programs_out(path: Path) -> None:
    """Another program that opens the database meanwhile is refused."""
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('VACUUM')"
    with opened(path) as spill:
        spill.append(INTENTS)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert "database is locked" in done.stderr
        assert everything(spill) == INTENTS
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM batches").fetchone() == (50,)


def test_spill__keeps_other_programs_out_after_a_second_notifier(path: Path) -> None:
    """To refuse a second notifier of the same process does not let anybody else in."""
    with opened(path) as spill:
        spill.append(INTENTS)
        with pytest.raises(ConfigurationError):
            Spill(path, LARGE)
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('VACUUM')"
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert "database is locked" in done.stderr
        assert Path(f"{path}-wal").exists()


def test_spill__that_cannot_be_looked_through_is_let_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails while the spill is opened does not keep it from the next notifier."""

    def fails(_spill: Spill, _db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    written(path, INTENTS)
    with monkeypatch.context() as patch:
        patch.setattr(Spill, "_survey", fails)
        with pytest.raises(ConfigurationError, match="disk I/O error"):
            Spill(path, LARGE)
    with opened(path) as spill:
        assert spill.found == 50


def test_spill__keeps_what_two_threads_write_at_once(path: Path) -> None:
    """The close writes what is left while the overflow thread may still wait for a slow disk."""
    with opened(path) as spill:
        with spill_database._SQLITE:
            parts = [INTENTS[:25], INTENTS[25:]]
            threads = [threading.Thread(target=spill.append, args=(part,)) for part in parts]
            for thread in threads:
                thread.start()
            # Both are in `append` now, or will come to it.
            wait_until(lambda: all(_is_in(one, "append") for one in threads), "two that write")
        for thread in threads:
            thread.join(HANG_S)
        assert sorted(everything(spill)) == sorted(INTENTS)


def _is_in(thread: threading.Thread, function: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


def test_spill__is_for_its_owner_only(path: Path) -> None:
    """Nobody else reads what was to be told to somebody."""
    with opened(path) as spill:
        spill.append(INTENTS)
        files = list(path.parent.iterdir())
        assert len(files) == 2
        assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}


def other_database(path: Path) -> bytes:
    """Return the content of a database of another program."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE batches (id)")
    return path.read_bytes()


@pytest.mark.parametrize("content", [b"{}\n", b"gn-spill-1\n".ljust(64, b"\0"), b"\0" * 400, None])
def test_spill__leaves_the_files_of_others_alone(path: Path, content: bytes | None) -> None:
    """What is no spill of ours is refused, and not touched."""
    content = content or other_database(path)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is not a spill"):
        Spill(path, LARGE)
    assert path.read_bytes() == content


def test_spill__says_why_it_cannot_be_opened(tmp_path: Path) -> None:
    """A folder that is not there, a folder in its place, a link: one line that names it."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("no/such", ".", "link"):
        with pytest.raises(ConfigurationError, match=r"spill_path: .*: "):
            Spill(tmp_path / name, LARGE)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="not a file"):
        Spill(tmp_path / "pipe", LARGE)


@pytest.mark.parametrize("left", [0, 7, 16, 40])
def test_spill__begun_by_a_crash_is_usable(path: Path, left: int) -> None:
    """A file whose head was never finished is empty."""
    written(path, [])
    os.truncate(path, left)
    with opened(path) as spill:
        assert spill.found == 0
        spill.append(INTENTS)
        assert everything(spill) == INTENTS


def test_spill__is_bounded(path: Path) -> None:
    """What would make it too long is refused as a whole, and room that is free again is used."""
    with opened(path, 1 << 20) as spill:
        spill.append([bytes(500_000)])
        with pytest.raises(OSError, match="full"):
            spill.append([bytes(300_000), bytes(300_000)])
        spill.append([bytes(300_000)])
        assert [len(one) for one in everything(spill, 1)] == [500_000, 300_000]
        for _ in range(5):
            spill.settle()
            spill.append([bytes(500_000)])
            assert len(everything(spill)) == 1
            spill.sync()
            assert path.stat().st_size <= 1 << 20


def test_spill__log_is_bounded(path: Path) -> None:
    """It is taken into the database before it is longer than a few batches."""
    with opened(path, batch=100) as spill:
        longest = 0
        for _ in range(10):
            spill.append(LONG)
            longest = max(longest, Path(f"{path}-wal").stat().st_size)
        spill.sync()
        assert longest < 24 << 20
        assert Path(f"{path}-wal").stat().st_size == 0
