"""How a spill file keeps parcels: each in a frame with its length and a checksum.

A file begins with a head of 32 bytes: the name of the format, how far it was read back, and the
checksum of that. What is torn or overwritten is passed over up to the next frame that is whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

#: Bytes of the head; the first frame begins there.
HEAD: Final = 32
#: No parcel is longer; what claims to be is damaged.
LONGEST: Final = 1 << 28
FORMAT: Final = b"gn-spill-1\n".ljust(16, b"\0")
# No text contains 0xC1: UTF-8 has no use for it.
_MARK: Final = b"\xc1\xc1gn"
_FRAME: Final = struct.Struct(">4sII")
_READ_TO: Final = struct.Struct(">QI")
_OFFSET: Final = struct.Struct(">Q")


class Frames(NamedTuple):
    """What a piece of a file holds: parcels, the bytes looked at, and places that were no frame."""

    parcels: list[bytes]
    used: int
    damaged: int


def head(read_to: int) -> bytes:
    """Return the head of a file that was read back up to an offset."""
    return FORMAT + _READ_TO.pack(read_to, crc32(_OFFSET.pack(read_to))).ljust(HEAD - 16, b"\0")


def read_to(data: bytes) -> int:
    """Return up to where a file was read back, as its head says; its beginning if it lies."""
    offset, checksum = _READ_TO.unpack_from(data, len(FORMAT))
    sound = crc32(_OFFSET.pack(offset)) == checksum
    return int(offset) if sound and offset >= HEAD else HEAD


def framed(parcels: Iterable[bytes]) -> bytes:
    """Return the frames of some parcels."""
    pack = _FRAME.pack
    return b"".join(
        part for parcel in parcels for part in (pack(_MARK, len(parcel), crc32(parcel)), parcel)
    )


def frame_bytes(parcel: bytes) -> int:
    """Return how long the frame of a parcel is."""
    return _FRAME.size + len(parcel)


def unframed(data: bytes, most: int, most_bytes: int, *, whole: bool) -> Frames:
    """Read frames from the beginning of *data*, within both bounds, but at least one.

    What is incomplete at its end is damaged where *data* is the *whole* rest, else left unread.
    """
    parcels: list[bytes] = []
    at = damaged = size = 0
    while at < len(data) and len(parcels) < most:
        stop = _stop(data, at)
        if 0 < stop <= len(data) and (parcel := _parcel(data, at, stop)) is not None:
            size += len(parcel)
            if parcels and size > most_bytes:
                break
            parcels.append(parcel)
            at = stop
        elif not whole and (stop > len(data) or at + _FRAME.size > len(data)):
            break
        else:
            damaged += 1
            at = _next(data, at + 1, whole=whole)
    return Frames(parcels, at, damaged)


def _stop(data: bytes, at: int) -> int:
    """Return where the frame at an offset says that it ends; 0 where there is none."""
    if at + _FRAME.size > len(data):
        return 0
    mark, length, _ = _FRAME.unpack_from(data, at)
    return int(at + _FRAME.size + length) if mark == _MARK and length <= LONGEST else 0


def _parcel(data: bytes, at: int, stop: int) -> bytes | None:
    parcel = data[at + _FRAME.size : stop]
    _, _, checksum = _FRAME.unpack_from(data, at)
    return parcel if crc32(parcel) == checksum else None


def _next(data: bytes, start: int, *, whole: bool) -> int:
    """Return where the next frame may begin."""
    found = data.find(_MARK, start)
    if found >= 0:
        return found
    return len(data) if whole else max(start, len(data) - len(_MARK) + 1)
