"""The spill file: read back in order, whatever was torn, overwritten or refused."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.background.spill import Spill
from galaxy_notify.background.spill_frames import HEAD, frame_bytes, framed, head, read_to, unframed
from galaxy_notify.errors import ConfigurationError
from tests.support.program import ROOT

PARCELS = [b"parcel-%03d" % n + bytes(n) for n in range(50)]
LARGE = 1 << 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path at which nothing is."""
    return tmp_path / "spill"


@contextmanager
def opened(path: Path, most_bytes: int = LARGE) -> Iterator[Spill]:
    """Open a spill while the block runs."""
    spill = Spill(path, most_bytes)
    try:
        yield spill
    finally:
        spill.close()


def written(path: Path, parcels: list[bytes]) -> None:
    """Leave a spill as a process does that was killed."""
    with opened(path) as spill:
        spill.append(parcels)


def everything(spill: Spill, most: int = 7) -> list[bytes]:
    """Read a spill to its end."""
    found: list[bytes] = []
    while parcels := spill.read(most, LARGE):
        found += parcels
    return found


def test_spill__is_read_back_in_order(path: Path) -> None:
    """Everything comes back, in batches, also what is written meanwhile, and then it is empty."""
    with opened(path) as spill:
        spill.append(PARCELS[:20])
        assert spill.read(5, LARGE) == PARCELS[:5]
        spill.append(PARCELS[20:])
        assert everything(spill) == PARCELS[5:]
        spill.settle()
        assert path.stat().st_size == HEAD
        spill.append(PARCELS[:3])
        assert everything(spill) == PARCELS[:3]


def test_spill__reads_no_more_bytes_than_asked(path: Path) -> None:
    """A batch is bounded by bytes as well, and one that is larger comes alone."""
    with opened(path) as spill:
        spill.append([bytes(100), bytes(1 << 20), bytes(10), bytes(10)])
        sizes = [[len(p) for p in spill.read(10, 200)] for _ in range(4)]
    assert sizes == [[100], [1 << 20], [10, 10], []]


def test_spill__left_by_a_crash_is_found(path: Path) -> None:
    """What was written and not settled is there again; what was settled is not."""
    with opened(path) as spill:
        spill.append(PARCELS)
        spill.read(10, LARGE)
        spill.settle()
        spill.read(10, LARGE)
    with opened(path) as again:
        assert (again.found, again.damaged) == (40, 0)
        assert everything(again) == PARCELS[10:]


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 20])
def test_spill__survives_a_torn_end(path: Path, cut: int) -> None:
    """A record that a crash cut short costs itself only; what is written later is read."""
    written(path, PARCELS[:10])
    os.truncate(path, path.stat().st_size - cut)
    with opened(path) as spill:
        assert (spill.found, spill.damaged) == (9, 1)
        spill.append(PARCELS[10:12])
        assert everything(spill) == PARCELS[:9] + PARCELS[10:12]
        spill.settle()
    assert path.stat().st_size == HEAD


@pytest.mark.parametrize("at", [0, 2, 4, 7, 8, 11, 12, 25])
def test_spill__survives_a_damaged_record(path: Path, at: int) -> None:
    """A record in the middle that was overwritten anywhere does not hold up its neighbours."""
    written(path, PARCELS)
    place = HEAD + sum(map(frame_bytes, PARCELS[:20])) + at
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x55]))
    with opened(path) as spill:
        assert (spill.found, spill.damaged) == (49, 1)
        assert everything(spill) == PARCELS[:20] + PARCELS[21:]


@pytest.mark.parametrize("most_bytes", [1, 50, 200, 5000])
def test_spill__gives_nothing_twice_beside_damage(path: Path, most_bytes: int) -> None:
    """Batches bounded by bytes begin where the last one ended, also behind a damaged place."""
    written(path, PARCELS)
    content = bytearray(path.read_bytes())
    for number in (0, 20, 21, 40):
        content[HEAD + sum(map(frame_bytes, PARCELS[:number]))] ^= 0xFF
    path.write_bytes(content)
    with opened(path) as spill:
        found: list[bytes] = []
        while parcels := spill.read(7, most_bytes):
            found += parcels
        assert len(found) == spill.found
    assert found == [one for n, one in enumerate(PARCELS) if n not in (0, 20, 21, 40)]


def test_spill__with_a_damaged_head_is_read_from_the_beginning(path: Path) -> None:
    """What was read already is sent again under the same ids, rather than lost."""
    with opened(path) as spill:
        spill.append(PARCELS)
        spill.read(10, LARGE)
        spill.settle()
    with path.open("r+b") as file:
        file.seek(20)
        file.write(b"\xff")
    with opened(path) as again:
        assert again.found == 50


def test_spill__of_nothing_but_damage_is_emptied(path: Path) -> None:
    """What is left of the last record is told once, and does not stay for ever."""
    written(path, PARCELS[:1])
    os.truncate(path, path.stat().st_size - 1)
    with opened(path) as spill:
        assert (spill.found, spill.damaged) == (0, 1)
    with opened(path) as again:
        assert (again.found, again.damaged) == (0, 0)


def test_spill__has_one_user(path: Path) -> None:
    """A second notifier is refused in plain words, and may have it afterwards."""
    with opened(path), pytest.raises(ConfigurationError, match="another notifier uses it"):
        Spill(path, LARGE)
    with opened(path) as spill:
        assert spill.found == 0


def test_spill__is_for_its_owner_only(path: Path) -> None:
    """Nobody else reads what was to be told to somebody."""
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"{}\n", b"gn-spill-2\n".ljust(64, b"\0"), b"\0" * 40])
def test_spill__leaves_the_files_of_others_alone(path: Path, content: bytes) -> None:
    """What is no spill of ours is refused, and not touched."""
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="something else"):
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


@pytest.mark.parametrize("left", [0, 7, 40])
def test_spill__begun_by_a_crash_is_usable(path: Path, left: int) -> None:
    """A file whose head was never finished, and one without a record, are empty."""
    with opened(path):
        pass
    os.truncate(path, min(left, HEAD))
    with opened(path) as spill:
        assert spill.found == 0
        spill.append(PARCELS)
        assert everything(spill) == PARCELS


def test_spill__is_bounded(path: Path) -> None:
    """What would make it too long is refused as a whole."""
    with opened(path, 1000) as spill:
        spill.append([bytes(500)])
        with pytest.raises(OSError, match="as large"):
            spill.append([bytes(500)])
        spill.append([bytes(300)])
        assert [len(p) for p in everything(spill)] == [500, 300]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process become longer, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_spill__leaves_no_half_of_what_the_disk_refused(path: Path) -> None:
    """A write that the disk cuts short is taken back; later ones are read."""
    with opened(path) as spill:
        spill.append(PARCELS[:5])
        with files_end_at(path.stat().st_size + 20), pytest.raises(OSError, match="large"):
            spill.append(PARCELS[5:])
        assert path.stat().st_size == HEAD + sum(map(frame_bytes, PARCELS[:5]))
        spill.append(PARCELS[5:])
        assert everything(spill) == PARCELS


def test_spill__is_free_when_its_process_was_killed(path: Path) -> None:
    """The lock ends with its holder, and what was written is there."""
    code = (
        "import os, sys\n"
        "from galaxy_notify.background.spill import Spill\n"
        f"Spill({str(path)!r}, 1 << 20).append([b'one', b'two'])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    with opened(path) as spill:
        assert everything(spill) == [b"one", b"two"]


@given(
    st.lists(st.binary(max_size=60) | st.just(b"\xc1\xc1gn" * 5), max_size=20),
    st.integers(0, 2000),
    st.binary(max_size=30),
)
def test_frames__of_anything_give_only_what_was_written(
    parcels: list[bytes], at: int, garbage: bytes
) -> None:
    """Garbage in place of some bytes costs the records that it touches, and invents none."""
    data = bytearray(framed(parcels))
    data[at : at + len(garbage)] = garbage[: max(0, len(data) - at)]
    frames = unframed(bytes(data), len(parcels) + 99, LARGE, whole=True)
    assert frames.used == len(data)
    starts = [sum(map(frame_bytes, parcels[:n])) for n in range(len(parcels) + 1)]
    untouched = [
        parcel
        for parcel, start, stop in zip(parcels, starts, starts[1:], strict=False)
        if stop <= at or start >= at + len(garbage)
    ]
    remaining = iter(frames.parcels)
    assert all(parcel in remaining for parcel in untouched)
    assert set(frames.parcels) <= set(parcels)


def test_head__tells_where_to_read_on() -> None:
    """It is believed only with its checksum."""
    assert read_to(head(12345)) == 12345
    assert read_to(bytes(HEAD)) == HEAD
