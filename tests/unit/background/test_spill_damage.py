"""The spill after a crash, a fork, on a full disk and in a damaged file."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgpack
import pytest

from tests.support.spills import (
    INTENTS,
    LARGE,
    LONG,
    PAGE,
    everything,
    files_end_at,
    killed,
    opened,
    overwritten,
    written,
)
from tests.support.telemetry import Lines, json_logs

_WRITES = """
spill = Spill(sys.argv[1], 1 << 30)
for number in range(9):
    spill.append([b"%d" % number])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path at which nothing is."""
    return tmp_path / "spill"


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs() as read:
        yield read


_KILLED = """
spill = Spill(sys.argv[1], 1 << 30)
for number in range(500):
    spill.append([b"%d" % number] * 3)
    if number == 300:
        spill.sync()
    if number == 400:
        assert len(spill.read(30, 1 << 20)) == 30
        spill.settle()
"""


def test_spill__of_a_killed_process_has_all_that_it_wrote(path: Path) -> None:
    """The lock ends with its holder; what was written is there, synced or not, and in order."""
    killed(path, _KILLED)
    with opened(path) as spill:
        assert everything(spill) == [b"%d" % number for number in range(10, 500) for _ in range(3)]


def test_spill__half_made_by_a_crash_is_usable(path: Path, lines: Lines) -> None:
    """A crash while the database was made left nothing that could be damaged."""
    written(path, [])
    made = bytearray(path.read_bytes())
    made[18:20] = b"\x01\x01"  # no log of its own yet
    path.write_bytes(made)
    # A journal that takes the file back to the length of 0 pages.
    head = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 1, 0, 512, PAGE)
    Path(f"{path}-journal").write_bytes(head.ljust(512, b"\0"))
    with opened(path) as spill:
        spill.append(INTENTS)
        assert everything(spill) == INTENTS
    assert lines() == []


@pytest.mark.parametrize("cut", [1, 5, 4000, 4200])
def test_spill__survives_a_torn_end(path: Path, cut: int) -> None:
    """What a crash of the machine cut short costs itself only; what is written later is read."""
    killed(path, _WRITES)
    log = Path(f"{path}-wal")
    os.truncate(log, log.stat().st_size - cut)
    kept = [b"%d" % n for n in range(8 if cut <= PAGE else 7)]
    with opened(path) as spill:
        assert spill.found == len(kept)
        spill.append(INTENTS[:2])
        assert everything(spill) == kept + INTENTS[:2]


def test_spill__survives_a_damaged_record(path: Path) -> None:
    """A record in the middle that was overwritten does not hold up its neighbours."""
    written(path, INTENTS)
    overwritten(path, b"intent-020", b"other")
    with opened(path) as spill:
        assert (spill.found, spill.damaged) == (49, 1)
        assert everything(spill) == INTENTS[:20] + INTENTS[21:]


def test_spill__of_nothing_but_damage_is_emptied(path: Path) -> None:
    """What cannot be read is reported once, and does not stay for ever."""
    written(path, INTENTS[:1])
    overwritten(path, b"intent-000", b"other")
    with opened(path) as spill:
        assert (spill.found, spill.damaged) == (0, 1)
    with opened(path) as again:
        assert (again.found, again.damaged) == (0, 0)


@pytest.mark.parametrize("number", [0, 7, 35, 90])
@pytest.mark.parametrize("was", [1, 20, 50])
def test_spill__survives_a_damaged_number(path: Path, was: int, number: int) -> None:
    """A record whose number was overwritten costs itself, not those that it seems to come after."""
    written(path, [b"intent-%03d" % n for n in range(50)])
    renumbered(path, was, number)
    with opened(path) as spill:
        spill.append([b"new-1", b"new-2"])
        found = []
        while some := spill.read(1, LARGE):
            found += some
            spill.settle()
            spill.append([b"later-%03d" % len(found)] if len(found) < 5 else [])
        kept = [b"intent-%03d" % n for n in range(50) if n != was - 1]
        later = [b"later-%03d" % n for n in range(1, 5)]
        assert found == [*kept, b"new-1", b"new-2", *later]


def renumbered(path: Path, was: int, number: int) -> None:
    """Overwrite the number of a short row, of one byte, and leave the row where it is."""
    data = bytearray(path.read_bytes())
    # A cell: its length, its number, a header of four bytes, the checksum, the packed intents.
    packed = msgpack.packb([b"intent-%03d" % (was - 1)])
    content = data.index(packed)
    (at,) = [
        content - size - 5
        for size in (4, 6)
        if data[content - size - 4 : content - size - 2] == b"\x04\x00"
    ]
    assert data[at] == was
    data[at] = number
    path.write_bytes(data)


def test_spill__survives_a_record_without_content(path: Path) -> None:
    """A row whose content was overwritten by none at all does not stop the others."""
    written(path, INTENTS)
    with closing(sqlite3.connect(path)) as db:
        ((sql,),) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'batches'")
        db.execute("PRAGMA writable_schema = ON")
        loose = sql.replace(" NOT NULL", "")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'batches'", (loose,))
        db.commit()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE batches SET packed = NULL WHERE id = 20")
        db.execute("UPDATE batches SET packed = 7 WHERE id = 30")
        db.commit()
    with opened(path) as spill:
        assert (spill.found, spill.damaged) == (48, 2)
        assert everything(spill) == [one for at, one in enumerate(INTENTS, 1) if at not in (20, 30)]


def damage(path: Path, page: int, pages: int = 1) -> None:
    """Overwrite pages of a database."""
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(b"\xff" * PAGE * pages)


@pytest.mark.parametrize("page", [0, 1, 2, 600, 1200])
def test_spill__that_is_damaged_is_set_aside(path: Path, page: int, lines: Lines) -> None:
    """Whatever page was overwritten: it is reported and kept, and what can be read is sent."""
    written(path, LONG)
    damage(path, page, pages=1) if page else overwritten(path, b"CREATE TABLE", b"x")
    before = path.read_bytes()
    with opened(path) as spill:
        found = everything(spill)
        assert spill.found == len(found)
        assert found == [one for one in LONG if one in found]
        assert len(found) >= (0 if page < 2 else 50)
        spill.append(INTENTS)
        assert everything(spill) == INTENTS
    aside = Path(f"{path}.damaged-1")
    assert aside.read_bytes() == before
    paths = [line["path"] for line in lines() if line["event"] == "damaged spill set aside"]
    assert paths == [str(aside)]
    with opened(path) as again:
        assert (again.found, again.damaged) == (len(found) + len(INTENTS), 0)
    assert sorted(one.name for one in path.parent.iterdir()) == ["spill", "spill.damaged-1"]


def test_spill__damaged_under_our_feet_goes_on(path: Path, lines: Lines) -> None:
    """The intents behind the damage are read, and nothing is read twice."""
    with opened(path) as spill:
        spill.append(LONG)
        spill.sync()
        found = spill.read(10, LARGE)
        damage(path, 100, pages=300)
        found += everything(spill)
        assert found == [one for one in LONG if one in found]
        assert 60 < len(found) < 100
        spill.append(INTENTS)
        assert everything(spill) == INTENTS
    assert [line["event"] for line in lines()] == ["damaged spill set aside"]
    assert Path(f"{path}.damaged-1").exists()


def test_spill__leaves_no_half_of_what_the_disk_refused(path: Path) -> None:
    """A write that the disk cuts short is taken back; later ones are read."""
    with opened(path) as spill:
        spill.append(INTENTS[:5])
        log = Path(f"{path}-wal")
        with files_end_at(log.stat().st_size + 5000), pytest.raises(OSError, match="disk"):
            spill.append(LONG)
        spill.append(INTENTS[5:])
        assert everything(spill) == INTENTS


def test_spill__on_a_full_disk_sends_what_it_has(path: Path) -> None:
    """Where nothing can be written any more, not even what was sent: it is read in order."""
    with opened(path) as spill:
        spill.append(INTENTS)
        log = Path(f"{path}-wal")
        with files_end_at(log.stat().st_size):
            assert spill.read(10, LARGE) == INTENTS[:10]
            spill.settle()
            assert everything(spill) == INTENTS[10:]
        spill.settle()
    with opened(path) as spill:
        assert spill.found == 0


_FORKED = """
import gc
spill = Spill(sys.argv[1], 1 << 30)
os.register_at_fork(after_in_child=spill.forget)
spill.append([b"one", b"two"])
if not os.fork():
    del spill
    gc.collect()
    sys.exit()
os.wait()
spill.append([b"three"])
if not os.fork():
    again = Spill(sys.argv[1] + "-of-the-child", 1 << 30)
    again.append([b"four"])
    sys.exit()
os.wait()
spill.append([b"five"])
"""


def test_spill__is_not_touched_by_a_fork(path: Path) -> None:
    """The end of a child leaves what its parent has written, and the child may have its own."""
    killed(path, _FORKED)
    with opened(path) as spill, opened(Path(f"{path}-of-the-child")) as child:
        assert everything(spill) == [b"one", b"two", b"three", b"five"]
        assert everything(child) == [b"four"]
