"""An intent is taken exactly as the contract says, or refused by the name of its first fault."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import ValidationError

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.intent import Intent
from tests.support.intents import NOW, PLAIN, TRACEPARENT, intent, refused


def test_intent__needs_only_three_fields() -> None:
    """Type, producer and recipients are enough; the rest has the contract's defaults."""
    plain = Intent(type="game.ready", producer="lobby", recipients=["user-7"])
    assert plain.recipients == ("user-7",)
    assert plain.channels == ("push",)
    assert plain.severity == "info"
    assert (plain.title, plain.body, plain.data) == ("", "", {})
    assert plain.due_at_ms is plain.expires_at_ms is plain.max_attempts is None
    assert plain.idempotency_key is plain.request_id is plain.trace_id is plain.traceparent is None


def test_intent__carries_every_field() -> None:
    """All fields of the contract are taken."""
    full = intent(
        channels=("push", "web_2"),
        severity="critical",
        title="Züge 🎲",
        body="Your turn\n",
        data={"turn": 12, "who": ["a", None, True, 0.5, {"ü": -1}]},
        idempotency_key="g1:12",
        due_at=NOW,
        expires_at="2031-01-01T00:00:00Z",
        max_attempts=1000,
        request_id="r 1~",
        trace_id="t",
        traceparent=TRACEPARENT,
    )
    assert full.data == {"turn": 12, "who": ["a", None, True, 0.5, {"ü": -1}]}
    assert full.due_at_ms == NOW
    assert full.expires_at_ms == 1_924_992_000_000
    assert full.traceparent == TRACEPARENT


@pytest.mark.parametrize(
    ("field", "good"),
    [
        ("type", ["a", "0", "A" * 64, "game.turn_ready-2"]),
        ("producer", ["a", "0", "A" * 64, "lobby.eu-1_x"]),
        (
            "recipients",
            [["+491701234567"], ["a@b.example:1~2"], ["x" * 128], ("a", "b"), ["a", "a"]],
        ),
        ("channels", [["p"], ["a" * 32], ["web_push_2", "push"], ("push",)]),
        ("severity", ["info", "notice", "warning", "critical"]),
        ("idempotency_key", ["x", "é" * 200, " ", "\n", None]),
        ("request_id", ["x", " ", "~" * 128, None]),
        ("trace_id", ["x", " ", "~" * 128, None]),
        ("max_attempts", [1, 1000, None]),
        ("traceparent", [TRACEPARENT, "01" + TRACEPARENT[2:], None]),
    ],
)
def test_grammar__takes(field: str, good: list[Any]) -> None:
    """What the grammar allows is taken, up to its longest."""
    for value in good:
        taken = getattr(intent(**{field: value}), field)
        assert taken == (tuple(value) if isinstance(value, list) else value)


BAD_NAMES = [
    "",
    "a" * 65,
    ".a",
    "-a",
    "a b",
    "a\n",
    "ä",
    "a/b",
    "\ud800",
    b"a",
    1,
    None,
    ["a"],
    "a\0",
]
BAD_TRACE = ["", "x" * 129, "a\n", "\x7f", "é", "\ud800", 1, b"a"]
BAD_MOMENTS = [
    True, "", "now", "1900000000000", "2031-01-01", "2031-01-01T00:00:00", "2031-01-01 00:00Z",
    "2031-02-30T00:00:00Z", "2031-01-01T24:00:01Z", "2031-01-01T00:00:00+25:00",
    "2031-01-01T00:00:00Z\n", "\uff12031-01-01T00:00:00Z", "9999-01-01T00:00:00Z",
    "2031-W01-1T00:00:00Z",
    NOW + 0.5, float("nan"), float("inf"), -NOW, 0, 10**5000, [], {}, b"2031-01-01T00:00:00Z",
    datetime(2031, 1, 1), datetime.max.replace(tzinfo=UTC),  # noqa: DTZ001 - naive on purpose
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("type", BAD_NAMES),
        ("producer", BAD_NAMES),
        ("severity", ["", "INFO", "fatal", 1, None, [], {}]),
        ("title", [None, 1, b"x", [], "\ud800", "a\udfffb"]),
        ("body", [None, 1, b"x", [], "\ud800", "a\udfffb"]),
        ("idempotency_key", ["", "x" * 201, 1, b"k", "\ud800"]),
        ("request_id", BAD_TRACE),
        ("trace_id", BAD_TRACE),
        ("max_attempts", [0, -1, 1001, True, 1.0, "8", 10**5000, float("nan")]),
        ("due_at", BAD_MOMENTS),
        ("expires_at", BAD_MOMENTS),
        ("recipients", ["user-7", [], (), None, 1, {}, b"ab"]),
        ("channels", ["push", [], (), None, 1, {}, b"ab"]),
        ("data", [None, 1, "x", [], [["a", 1]], b"{}"]),
    ],
)
def test_grammar__refuses_by_name(field: str, bad: list[Any]) -> None:
    """What the grammar does not allow is refused in the name of its field."""
    for value in bad:
        assert refused(**{field: value}).field == field, repr(value)[:80]


@pytest.mark.parametrize(
    "bad", ["", "a" * 129, ".a", "a b", "a/b", "ä", "a\n", "\ud800", 7, None, b"a"]
)
def test_recipients__name_the_bad_one(bad: object) -> None:
    """A bad recipient is named by its place."""
    assert refused(recipients=["a", "b", bad, bad]).field == "recipients[2]"


@pytest.mark.parametrize(
    "bad", ["", "a" * 33, "Push", "1a", "_a", "a-b", "a\n", "\ud800", 7, None, b"a"]
)
def test_channels__name_the_bad_one(bad: object) -> None:
    """A bad channel is named by its place."""
    assert refused(channels=["push", bad]).field == "channels[1]"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        TRACEPARENT.upper(),
        TRACEPARENT + "\n",
        TRACEPARENT[:-1],
        TRACEPARENT + "-x",
        "ff" + TRACEPARENT[2:],
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        "\ud800",
        b"00",
        1,
    ],
)
def test_traceparent__refuses(bad: object) -> None:
    """Only a W3C traceparent is taken for one."""
    assert refused(traceparent=bad).field == "traceparent"


def test_intent__cannot_be_changed() -> None:
    """An intent stays what it was when it was made."""
    made = intent()
    with pytest.raises(ValidationError, match="frozen"):
        made.title = "other"  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"chanels": ["push"]}, "chanels", "unknown field"),
        ({"\ud800": 1, "x": 2}, "", "an intent is an object with text keys"),
        ({"x" * 100: 1}, "x" * 60 + "…", "unknown field"),
        ({"data": {"a": b""}, "title": 7, "body": 7}, "title", "must be text, not 7"),
        ({"type": "a b", "nope": 1}, "type",
         'must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}, not "a b"'),
        ({"recipients": []}, "recipients", "needs at least one"),
        ({"recipients": "user-7"}, "recipients", "must be a list, not text"),
        ({"severity": "bad"}, "severity", 'must be info, notice, warning or critical, not "bad"'),
        ({"max_attempts": True}, "max_attempts",
         "must be a whole number from 1 to 1000, not a truth value"),
        ({"data": {"a": b""}}, "data.a", "must be a JSON value, not bytes"),
        ({"due_at": 1_900_000_000}, "due_at",
         "is outside 10^12..10^13: expected epoch milliseconds, this is probably seconds"),
        ({"due_at": "2031-01-01T00:00:00"}, "due_at",
         "must be RFC 3339 with an offset, such as 2030-01-31T09:00:00Z"),
    ],
)  # fmt: skip
def test_refusal__names_the_first_fault(fields: dict[str, Any], field: str, message: str) -> None:
    """The refusal names the first bad field and says what is wrong with it."""
    error = refused(**fields)
    assert (error.field, error.message) == (field, message)


@pytest.mark.parametrize("field", ["type", "producer", "recipients"])
def test_refusal__names_what_is_missing(field: str) -> None:
    """Each required field is asked for by name."""
    with pytest.raises(InvalidIntent, match=f"^{field}: is required$"):
        Intent(**{name: value for name, value in PLAIN.items() if name != field})


@pytest.mark.parametrize("value", [None, [], "x", 1, [["type", "x"]]])
def test_parse__refuses_what_is_no_object(value: object) -> None:
    """Only an object can be an intent."""
    with pytest.raises(InvalidIntent, match=r"^an intent is an object, not ") as error:
        Intent.parse(value)
    assert error.value.field == ""


def test_parse__takes_mappings_and_intents() -> None:
    """A mapping is read, an intent is itself."""
    made = Intent.parse(MappingProxyType(dict(PLAIN)))
    assert made == intent()
    assert Intent.parse(made) is made


def test_parse__refuses_names_that_are_no_text() -> None:
    """A field name that is no text is an unknown field."""
    with pytest.raises(InvalidIntent, match=r"^1: unknown field"):
        Intent.parse(dict[object, object](PLAIN) | {1: 2})
