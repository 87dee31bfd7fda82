"""Reads the spill files that were written before 0.2: frames with a mark, a length and a checksum.

Kept for one release: `Spill` imports such a file into its database, once.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import Final
from zlib import crc32

FORMAT: Final = b"gn-spill-1\n".ljust(16, b"\0")
_HEAD: Final = 32
# No text contains 0xC1: UTF-8 has no use for it.
_MARK: Final = b"\xc1\xc1gn"
_FRAME: Final = struct.Struct(">4sII")
_READ_TO: Final = struct.Struct(">QI")


def frames(file: int) -> Iterator[bytes | None]:
    """Yield the unsent packed intents of an open file; None for each damaged place."""
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as data:
        at = _start(data)
        while at < len(data):
            packed = _frame(data, at)
            yield packed
            if packed is not None:
                at += _FRAME.size + len(packed)
            elif (at := data.find(_MARK, at + 1)) < 0:
                return


def _start(data: mmap.mmap) -> int:
    """Return the offset up to which the file was sent; the first frame if the head is damaged."""
    if len(data) < _HEAD:
        return len(data)
    offset, checksum = _READ_TO.unpack_from(data, len(FORMAT))
    is_valid = crc32(offset.to_bytes(8)) == checksum and offset >= _HEAD
    return int(offset) if is_valid else _HEAD


def _frame(data: mmap.mmap, at: int) -> bytes | None:
    start = at + _FRAME.size
    if start > len(data):
        return None
    mark, length, checksum = _FRAME.unpack_from(data, at)
    packed = data[start : start + length] if mark == _MARK else b""
    is_whole = mark == _MARK and len(packed) == length and crc32(packed) == checksum
    return packed if is_whole else None
