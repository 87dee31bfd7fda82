"""Intents as JSON lines: read as they arrive, each within bounds, none breaking its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.json_text import parse_json

#: A longer line is refused without being kept; the largest fan-outs stay far below it.
LONGEST_LINE: Final = 32 << 20
_BLOCK: Final = 1 << 20
_BATCH_LINES: Final = 500
_BATCH_BYTES: Final = 8 << 20
MARK: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that is not blank, with its number; of one that is too long only that is kept."""

    number: int
    raw: bytes
    too_long: bool = False


def batches(stream: BinaryIO) -> Iterator[list[Line]]:
    """Read lines in batches: what a pipe holds now is not kept waiting for what comes later."""
    batch: list[Line] = []
    size = 0
    for line in _lines(stream):
        if line is not None:
            batch.append(line)
            size += len(line.raw)
        if batch and (line is None or len(batch) >= _BATCH_LINES or size >= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def parse(line: Line) -> Any:
    """Return the value that a line holds; raise ``InvalidIntent`` where it is no JSON."""
    if line.too_long:
        raise InvalidIntent("", f"the line is longer than {LONGEST_LINE:,} bytes", "too_large")
    raw = line.raw.removeprefix(MARK) if line.number == 1 else line.raw
    return parse_json(raw, "the line")


def _lines(stream: BinaryIO) -> Iterator[Line | None]:
    """Split what arrives into lines; None where nothing more is there just now."""
    number, size = 0, 0
    kept: list[bytes] = []
    while block := _read(stream):
        *ended, rest = block.split(b"\n")
        for end in ended:
            number += 1
            yield from _line(number, b"".join([*kept, end]), size + len(end))
            kept, size = [], 0
        size += len(rest)
        kept = [*kept, rest] if size <= LONGEST_LINE else []
        if ended:
            yield None
    yield from _line(number + 1, b"".join(kept), size)


def _line(number: int, raw: bytes, size: int) -> Iterator[Line]:
    if size > LONGEST_LINE:
        yield Line(number, b"", too_long=True)
    elif raw.strip():
        yield Line(number, raw)


def _read(stream: BinaryIO) -> bytes:
    # read1 returns what is there; read would wait for a whole block.
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return read(_BLOCK)
