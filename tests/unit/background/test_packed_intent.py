"""Packed intents: what was handed in, as it was, under one id."""

from __future__ import annotations

import time

import msgpack
import pytest

from galaxy_notify.background.packed_intent import id_of, pack, unpack
from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.ids import id_for_key, is_first_part
from galaxy_notify.model.intent import Intent
from tests.support.intents import TRACEPARENT, intent

WHOLE = intent(
    recipients=["u1", "u2"],
    channels=["push", "email"],
    severity="critical",
    title="Ü",
    body="b",
    data={"deep": [1, 2.5, None, True, {"x": 2**64 - 1}]},
    idempotency_key="k",
    due_at=1_900_000_000_000,
    expires_at=1_900_000_100_000,
    max_attempts=3,
    request_id="r",
    trace_id="t",
    traceparent=TRACEPARENT,
)


def test_pack__gives_back_the_intent() -> None:
    """Every field comes back and no other, and so do the id and the moment."""
    before = time.time_ns() // 1_000_000
    for one in (WHOLE, intent()):
        packed = pack(one)
        again = unpack(packed)
        parsed = Intent.parse(again.fields)
        assert parsed == one
        assert parsed.model_fields_set == one.model_fields_set
        assert before <= again.at_ms <= time.time_ns() // 1_000_000
        assert again.notification_id == id_of(packed)
    assert id_of(pack(WHOLE)) == id_for_key("lobby", "k")


def test_pack__has_an_id_of_its_own() -> None:
    """Without a key each is another notification."""
    ids = {id_of(pack(intent())) for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_first_part, ids))


def test_pack__refuses_data_that_was_made_unfit() -> None:
    """What was put into an intent behind its back is refused by name, as in any other intent."""
    one = intent(data={"list": []})
    one.data["list"].append(object())
    with pytest.raises(InvalidIntent, match="data: cannot be packed"):
        pack(one)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"0" * 32,
        b"0" * 32 + b"\xc1",
        b"x" * 32 + msgpack.packb((1, "", {})),
        b"0" * 32 + msgpack.packb((1, "")),
        b"0" * 32 + msgpack.packb(("1", "", {})),
        b"0" * 32 + msgpack.packb((1, "", [])),
        b"0" * 32 + msgpack.packb((1, "", {})) + b"\0",
        b"\xff" * 40,
    ],
)
def test_unpack__refuses_what_was_never_packed(packed: bytes) -> None:
    """What this version cannot read is refused, and does not end the thread that sends."""
    with pytest.raises(InvalidIntent, match="cannot be unpacked"):
        unpack(packed)
