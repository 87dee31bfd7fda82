"""The corpus: what strangers may hand in or leave in Redis, and what must become of it."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgpack

from tests.hostile.planting import CONTENT, DUE_MS, STATE, record

#: Bytes that no version of ours packed, for every door that takes packed bytes.
BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "a byte that is never used": b"\xc1",
    "nul bytes": b"\0" * 64,
    "ones": b"\xff" * 64,
    "lists in lists": b"\x91" * 100_000 + b"\xc0",
    "maps in maps": b"\x81\xa1a" * 60_000 + b"\xc0",
    "a list of four billion": b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "a text of four gigabytes": b"\xdb\xff\xff\xff\xff" + b"x" * 100,
    "bytes of four gigabytes": b"\xc6\xff\xff\xff\xff" + b"x" * 100,
    "an extension of four gigabytes": b"\xc9\xff\xff\xff\xff\x05",
    "an extension": msgpack.packb(msgpack.ExtType(5, b"x")),
    "a moment": msgpack.packb(msgpack.Timestamp(1, 1)),
    "a moment of a wrong length": b"\xc7\x05\xff12345",
    "a moment beyond its bounds": b"\xd7\xff" + b"\xff" * 8,
    "text that is no UTF-8": b"\x94\x01\xa2\xff\xfe\xa1p\xc4\x01\x80",
    "text with half a surrogate": b"\x94\x01\xa3\xed\xa0\x80\xa1p\xc4\x01\x80",
    "a name twice": b"\x82\xa1a\x01\xa1a\x02",
    "names that are no text": b"\x82\x01\x01\xc3\x02",
    "a list as a name": b"\x81\x91\x01\x01",
    "no number": b"\xcb" + struct.pack(">d", float("nan")),
    "infinity": b"\xcb" + struct.pack(">d", float("-inf")),
    "a list of empty lists": b"\xdd" + struct.pack(">I", 200_000) + b"\x90" * 200_000,
    "two values": b"\x90\x90",
    "text that steers terminals": msgpack.packb("\x1b[31m\n\0\r\u202e"),
}


class Case(NamedTuple):
    """What is planted, the status in which its route ends, and its failure class if it died."""

    raw: bytes
    status: str = "dead_letter"
    why: str = "record_corrupt"


_HEAD = b"1" + b"12345678"

#: Records, each beside a sound state.
RECORDS: dict[str, Case] = {
    **{f"packed: {name}": Case(_HEAD + raw) for name, raw in BOMBS.items()},
    **{f"bare: {name}": Case(raw) for name, raw in BOMBS.items() if raw},
    "of an older format": Case(b"0" + record()[1:]),
    "of a newer format": Case(b"2" + record()[1:], "pending", ""),
    "cut short": Case(record()[:-1]),
    "and more": Case(record() + b"\0"),
    "made before 1970": Case(record(-1)),
    "made beyond 64 bits of ms": Case(record(2**64 - 1), "published", ""),
    "made at a truth value": Case(record(True)),
    "of a type that is a number": Case(record(DUE_MS, 7)),
    "of a long type": Case(record(DUE_MS, "x" * 100_000), "published", ""),
    "of a type that steers terminals": Case(record(DUE_MS, "\x1b[2J\n\0"), "published", ""),
    "by bytes": Case(record(DUE_MS, "t", b"p")),
    "with text for content": Case(record(DUE_MS, "t", "p", "text")),
    "with no content": Case(record(DUE_MS, "t", "p", b"")),
    "with a list for content": Case(record(DUE_MS, "t", "p", b"\x90")),
    "with content that is only a beginning": Case(
        record(DUE_MS, "t", "p", b"\x8b"), "published", ""
    ),
    "due at a text": Case(record(DUE_MS, "t", "p", CONTENT, "now")),
    "expired before 1970": Case(record(DUE_MS, "t", "p", CONTENT, None, -5), "expired", ""),
    "of no parts": Case(record(DUE_MS, "t", "p", CONTENT, None, None, 0)),
    "of a billion parts": Case(record(DUE_MS, "t", "p", CONTENT, None, None, 10**9)),
    "of less than no routes": Case(record(DUE_MS, "t", "p", CONTENT, None, None, 1, -1)),
    "with ids of any length": Case(
        record(DUE_MS, "t", "p", CONTENT, None, None, 1, 1, "k", *("r\n\0\x1b" * 9000,) * 3),
        "published",
        "",
    ),
    "too large": Case(record(DUE_MS, "t", "p", b"x" * 300_000), why="payload_too_large"),
}

_TIMES = STATE[2:]

#: States, each beside a sound record.
STATES: dict[str, Case] = {
    **{f"packed: {name}": Case(STATE + raw) for name, raw in BOMBS.items() if raw},
    **{f"bare: {name}": Case(raw) for name, raw in BOMBS.items()},
    **{f"published: {name}": Case(b"1P" + _TIMES + raw) for name, raw in BOMBS.items()},
    "of an older format": Case(b"0p" + _TIMES),
    "of a newer format": Case(b"2p" + _TIMES, "pending", ""),
    "of no status": Case(b"1z" + _TIMES),
    "of a status that is a digit": Case(b"11" + _TIMES),
    "without its last digit": Case(STATE[:-1]),
    "with times before 1970": Case(b"1p" + b"-999999999999" * 2),
    "with times in words": Case(b"1p" + b"last thursday" * 2),
    "with blanks in its times": Case(b"1p" + b"    170000000" * 2),
    "with strokes in its times": Case(b"1p" + b"1_700_000_000" * 2),
    "with a sign in its times": Case(b"1p" + b"+170000000000" * 2),
    "with digits of another script": Case(b"1p" + ("٣" * 13).encode()),
    "due in 2286": Case(b"1p" + b"9" * 26, "pending", ""),
    "of less than no attempts": Case(STATE + msgpack.packb([1, -1, 0, []])),
    "of many attempts": Case(STATE + msgpack.packb([1, 2**31, 0, []])),
    "of generation nothing": Case(STATE + msgpack.packb([None, 0, 0, []])),
    "with attempts left": Case(STATE + msgpack.packb([1, 2**30, 0, []]), "published", ""),
    "with a history of numbers": Case(STATE + msgpack.packb([1, 0, 0, [1, 2]])),
    "with a history of short lines": Case(STATE + msgpack.packb([1, 0, 0, [["x"]]])),
    "with a history in words": Case(STATE + msgpack.packb([1, 0, 0, "history"])),
    "with a history that steers terminals": Case(
        STATE + msgpack.packb([1, 1, 0, [["\x1b[2J", 1, "\n", 1, "\0", "\u202e"]]]), "published", ""
    ),
    "with a history of 2,000 lines": Case(
        STATE + msgpack.packb([1, 1, 0, [["x", 1, "w", 1, "", ""]] * 2000])
    ),
    "too large": Case(STATE + b"x" * 65_536),
}

#: Texts that are no id of ours, for every door that takes an id.
NO_IDS: tuple[str, ...] = (
    "",
    " ",
    "x",
    "{gn:0}:meta",
    "0" * 31,
    "0" * 33,
    "G" * 32,
    "0" * 32 + ".0",
    "0" * 32 + ".9999999",
    "0" * 32 + "/",
    "0" * 32 + "/push",
    "0" * 32 + "/push:",
    "0" * 32 + "/push:a b",
    "0" * 32 + "/push:a/b",
    "0" * 32 + "/Push:u",
    "0" * 32 + "/push:u#0",
    "0" * 32 + "/push:\x1b[2J",
    "0" * 32 + "/push:" + "u" * 129,
    "0" * 32 + "\0",
    "../" * 20,
    "*",
    "\x1b[2J",
    "\u202e0",
    "\udcff",
    "\ud800",
    "x" * 4096,
    "٣" * 32,
)

_SOUND_ID = b"f" * 32
#: Members of a schedule that name no route of ours, with the reason for which they are set aside.
MEMBERS: dict[bytes, str] = {
    b"": "malformed",
    b"/": "malformed",
    b"\0": "malformed",
    b"\xff\xfe": "malformed",
    b"{x}/push:u": "malformed",
    b"x\n/push:u\r\x1b[2J": "malformed",
    b"x" * 4096: "malformed",
    b"y" * 4096 + b"/push:u": "malformed",
    _SOUND_ID: "malformed",
    _SOUND_ID + b"/": "malformed",
    _SOUND_ID + b"/push:": "malformed",
    _SOUND_ID + b"/push:a/b": "malformed",
    _SOUND_ID + b"/push:" + b"u" * 4096: "malformed",
    _SOUND_ID + b"/push:\xed\xa0\x80": "malformed",
    _SOUND_ID + b"/push:u": "record_missing",
    _SOUND_ID + b"/email:u": "record_missing",
}

#: Scores of a schedule, and whether a route is due by them; Redis itself refuses NaN.
SCORES: dict[float, bool] = {
    float("-inf"): True,
    -1e300: True,
    -1.0: True,
    0.0: True,
    0.5: True,
    5e-324: True,
    1e12 + 1 / 3: True,
    1e300: False,
    float("inf"): False,
}
