"""Spill files as they were written before 0.2: they become databases."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from galaxy_notify.background.earlier_spill import FORMAT
from galaxy_notify.background.spill import Spill
from galaxy_notify.errors import ConfigurationError
from tests.support.spills import INTENTS, LARGE, LONG, everything, files_end_at, opened
from tests.support.telemetry import Lines, json_logs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path at which nothing is."""
    return tmp_path / "spill"


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs() as read:
        yield read


def earlier_spill(intents: list[bytes], sent: int = 0) -> bytes:
    """Return a file with these packed intents, of which the first ones were sent."""
    frames = [b"\xc1\xc1gn" + struct.pack(">II", len(one), crc32(one)) + one for one in intents]
    offset = struct.pack(">Q", 32 + sum(map(len, frames[:sent])))
    head = FORMAT + offset + struct.pack(">I", crc32(offset))
    return head.ljust(32, b"\0") + b"".join(frames)


def test_earlier_spill__is_read_once(path: Path, lines: Lines) -> None:
    """A file of the earlier format becomes a database: what was not sent, in order."""
    path.write_bytes(earlier_spill(INTENTS, sent=20))
    with opened(path, batch=7) as spill:
        assert (spill.found, spill.damaged) == (30, 0)
        assert everything(spill) == INTENTS[20:]
    with opened(path) as spill:
        assert everything(spill) == INTENTS[20:]
    (line,) = lines()
    assert (line["event"], line["count"], line["damaged"]) == ("old spill imported", 30, 0)
    assert [one.name for one in path.parent.iterdir()] == ["spill"]


@pytest.mark.parametrize("left", [5, 16, 32])
def test_earlier_spill__without_intents_becomes_an_empty_one(path: Path, left: int) -> None:
    """So does one whose head was never finished."""
    path.write_bytes(earlier_spill([])[:left])
    with opened(path) as spill:
        assert spill.found == 0
        spill.append(INTENTS)
        assert everything(spill) == INTENTS


def test_earlier_spill__gives_what_is_whole(path: Path, lines: Lines) -> None:
    """A torn end, an overwritten record and a head that lies cost themselves only."""
    content = bytearray(earlier_spill(INTENTS, sent=20))
    content[20] ^= 0xFF
    content[content.index(b"intent-025")] ^= 0xFF
    path.write_bytes(content[:-3])
    with opened(path) as spill:
        assert everything(spill) == INTENTS[:25] + INTENTS[26:49]
    (line,) = lines()
    assert (line["count"], line["damaged"]) == (48, 2)


def test_earlier_spill__stays_where_the_disk_is_full(path: Path) -> None:
    """It is replaced only by a database that holds all of it."""
    content = earlier_spill(LONG)
    path.write_bytes(content)
    with files_end_at(1 << 20), pytest.raises(ConfigurationError, match="disk"):
        Spill(path, LARGE)
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == ["spill"]
    with opened(path) as spill:
        assert everything(spill) == LONG
