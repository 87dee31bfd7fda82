"""The corpus: what strangers may hand in or leave in Redis, and what must become of it."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgpack

from tests.properties.hostile.planting import CONTENT, DUE_MS, STATE, record

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
_OURS = b"2p" + _TIMES

#: States, each beside a sound record.
STATES: dict[str, Case] = {
    **{f"packed: {name}": Case(STATE + raw) for name, raw in BOMBS.items() if raw},
    **{f"bare: {name}": Case(raw) for name, raw in BOMBS.items()},
    **{f"published: {name}": Case(b"1P" + _TIMES + raw) for name, raw in BOMBS.items()},
    "published: cut short": Case(b"1P" + _TIMES + b"\x94\x01"),
    "published: at no id": Case(b"1P" + _TIMES + msgpack.packb([1, 0, 0, []]) + b"\xff"),
    "of an older format": Case(b"0p" + _TIMES),
    "of a newer format": Case(b"3p" + _TIMES, "pending", ""),
    "of deliveries": Case(_OURS + msgpack.packb([1, 0, 0, [], ["c-1"]]), "published", ""),
    "of deliveries, without a body": Case(_OURS),
    "of deliveries, without addresses": Case(_OURS + msgpack.packb([1, 0, 0, []])),
    "of deliveries, to numbers": Case(_OURS + msgpack.packb([1, 0, 0, [], [1]])),
    "of deliveries, to a text": Case(_OURS + msgpack.packb([1, 0, 0, [], "c-1"])),
    "of deliveries, and more": Case(_OURS + msgpack.packb([1, 0, 0, [], [], []])),
    "with addresses": Case(STATE + msgpack.packb([1, 0, 0, [], ["c-1"]])),
    "delivered, without its format": Case(b"1D" + _TIMES),
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


class Entry(NamedTuple):
    """Fields that replace those of a sound entry, None where one is left out, and the reason."""

    fields: dict[bytes, bytes | None]
    reason: str = ""


_BAD_ID = "event_id: not an event id"

#: Entries of the gateway stream, with why they are parked; empty where they are handled.
ENTRIES: dict[str, Entry] = {
    **{
        f"payload: {name}": Entry({b"payload_bytes": raw}, "payload: ")
        for name, raw in BOMBS.items()
    },
    **{
        f"id: {name!r:.40}": Entry(
            {b"event_id": name.encode("utf-8", "surrogatepass")}, "event_id: "
        )
        for name in NO_IDS
    },
    "without a payload": Entry({b"payload_bytes": None}, "payload_bytes: missing"),
    "without an id": Entry({b"event_id": None}, "event_id: missing"),
    "without a user": Entry({b"user_id": None}, "user_id: missing"),
    "without a type": Entry({b"event_type": None}, "event_type: missing"),
    "of a notification": Entry({b"event_id": b"0" * 32}, _BAD_ID),
    "of a user who is no text": Entry({b"user_id": b"\xff"}, "user_id: not UTF-8"),
    "traced by no text": Entry({b"traceparent": b"\xff"}, "traceparent: not UTF-8"),
    "with unknown fields": Entry({b"\xff\x1b[2J": b"\0" * 1000}),
    "of a very long user": Entry({b"user_id": b"u" * 100_000}),
    "payload: JSON in JSON": Entry({b"payload_bytes": b'{"a":' * 50_000}, "payload: "),
    "payload: no number": Entry({b"payload_bytes": b'{"type":NaN}'}, "payload: "),
    "payload: many digits": Entry({b"payload_bytes": b'{"a":' + b"9" * 5000 + b"}"}, "payload: "),
    "payload: half a surrogate": Entry({b"payload_bytes": b'{"a":"\\ud800"}'}, "payload: "),
    "payload: 17 MB": Entry({b"payload_bytes": b"x" * 17_000_000}, "payload: 17000000 bytes"),
}

_SAYS = b'{"type":"t","producer":"p","recipients":["u"]'

#: Lines for ``accept``, with the field and the beginning of the message that refuse them.
LINES: dict[bytes, tuple[str, str]] = {
    b"\xff\xfe": ("", "the line is not UTF-8 at byte 1"),
    b'{"type":"\xed\xa0\x80"}': ("", "the line is not UTF-8 at byte 10"),
    b"\0": ("", "the line is not JSON: Expecting value at column 1"),
    b"\x1b[2J": ("", "the line is not JSON: "),
    b"{": ("", "the line is not JSON: "),
    b"{} {}": ("", "the line is not JSON: Extra data at column 4"),
    b"[" * 100_000: ("", "the line is nested too deeply"),
    b'{"a":' * 100_000: ("", "the line is nested too deeply"),
    b"NaN": ("", "the line is not JSON: NaN is not a number"),
    b"-Infinity": ("", "the line is not JSON: -Infinity is not a number"),
    b"9" * 257: ("", "the line is not JSON: a number has too many digits"),
    b"9" * 5000: ("", "the line is not JSON: a number has too many digits"),
    b"null": ("", "an intent is an object, not null"),
    b"[]": ("", "an intent is an object, not a list"),
    b'"\\ud800"': ("", "an intent is an object, not text"),
    b"1e999": ("", "an intent is an object, not a number"),
    b"{}": ("type", "is required"),
    b'{"type":"t","type":"t"}': ("type", "is given twice"),
    b'{"\\u001b":1,"\\u001b":1}': ("\\x1b", "is given twice"),
    _SAYS + b',"\\ud800":1}': ("", "an intent is an object with text keys"),
    _SAYS + b',"' + b"x" * 100_000 + b'":1}': ("x" * 60 + "…", "unknown field"),
    _SAYS + b',"\\u0000\\n":1}': ("\\x00\\n", "unknown field"),
    _SAYS + b',"title":"\\udfff"}': ("title", "must be text, not text with a lone surrogate"),
    _SAYS + b',"data":{"a":1e999}}': ("data.a", "must be a finite number"),
    _SAYS + b',"data":{"a":' + b"9" * 200 + b"}}": ("data.a", "must be a whole number of at most"),
    _SAYS + b',"data":{"a":' + b"[" * 40 + b"]" * 40 + b"}}": ("data.a" + "[0]" * 31, "is nested"),
    _SAYS + b',"data":{"\\ud800":1}}': ("data.\\ud800", "has a name with a lone surrogate"),
    _SAYS + b',"data":{"":{"\\n":[{"a":1e999}]}}}': ("data..\\n[0].a", "must be a finite number"),
    _SAYS + b',"due_at":1e308}': ("due_at", "is outside 10^12..10^13"),
    _SAYS + b',"due_at":"' + b"9" * 5000 + b'"}': ("due_at", "must be RFC 3339"),
    _SAYS + b',"expires_at":1}': ("expires_at", "is outside 10^12..10^13"),
    _SAYS + b',"max_attempts":1e3}': ("max_attempts", "must be a whole number"),
    _SAYS + b',"idempotency_key":"' + b"k" * 4096 + b'"}': ("idempotency_key", "must be 1 to 200"),
    _SAYS + b',"request_id":"\\u001b[2J"}': ("request_id", "must be 1 to 128 printable"),
    _SAYS + b',"channels":["{gn:0}"]}': ("channels[0]", "must match"),
    _SAYS + b',"body":"' + b"x" * 1_000_000 + b'"}': ("body", "the payload has 1000"),
    b'{"type":"t","producer":"p","recipients":["u\\n"]}': ("recipients[0]", "must match"),
    b'{"type":"t","producer":"p","recipients":["{u}"]}': ("recipients[0]", "must match"),
    b'{"type":"t","producer":"p","recipients":["u",7]}': ("recipients[1]", "must match"),
    b'{"type":{"a":1},"producer":"p","recipients":["u"]}': ("type", "must match"),
}
#: Lines that are taken, however they are written.
SOUND_LINES: tuple[bytes, ...] = (
    _SAYS + b"}",
    _SAYS + b"}\r",
    b"  \t" + _SAYS + b"} ",
    _SAYS + b',"idempotency_key":"\\n\\u0000{gn:0}"}',
    _SAYS + b',"data":{"":null,"\\u0000":"\\u001b[2J"}}',
    _SAYS + b',"title":"\xf0\x9f\x8e\xb2\\ud83c\\udfb2"}',
)
