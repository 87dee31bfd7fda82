"""A publication is taken exactly as it is documented, or refused by the name of its first fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import InvalidPublication
from galaxy_notify.model.feed import NewItem
from galaxy_notify.model.ids import id_for_key, is_first_part
from galaxy_notify.model.publication import Publication

PLAIN = {"user": "user-7", "type": "game.ready", "producer": "lobby"}
ID = "0123456789abcdef" * 2
LIMIT = 262_144


class Hostile(Mapping[str, Any]):
    """A mapping that cannot be read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no names")

    def __len__(self) -> int:
        return 1


def refused(**fields: Any) -> InvalidPublication:
    """Return the refusal of a publication with these fields."""
    with pytest.raises(InvalidPublication) as raised:
        Publication.parse({**PLAIN, **fields})
    return raised.value


def test_publication__needs_only_three_fields() -> None:
    """User, type and producer are enough."""
    plain = Publication.parse(PLAIN)
    assert (plain.severity, plain.title, plain.body, plain.data) == ("info", "", "", {})
    assert plain.idempotency_key is plain.notification_id is None
    assert Publication.parse(plain) is plain


def test_item__has_what_the_feed_stores() -> None:
    """Every field has its place; the data is packed."""
    whole = Publication(
        **PLAIN, severity="critical", title="Züge 🎲", body="Your turn\n", data={"turn": [12, None]}
    )
    item = whole.item(ID, 1_900_000_000_000, LIMIT)
    assert item == NewItem(
        *("user-7", ID, "game.ready", "lobby", "critical", "Züge 🎲", "Your turn\n"),
        msgpack.packb({"turn": [12, None]}),
        1_900_000_000_000,
    )


def test_id__is_that_of_the_key_then_the_given_one() -> None:
    """A key makes the id of an intent with the same key; without either it is another each time."""
    keyed = Publication(**PLAIN, idempotency_key="k", notification_id=ID)
    assert keyed.id_at(1) == id_for_key("lobby", "k")
    assert Publication(**PLAIN, notification_id=ID).id_at(1) == ID
    plain = Publication(**PLAIN)
    ids = {plain.id_at(1_900_000_000_000) for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_first_part, ids))


@pytest.mark.parametrize(
    ("field", "value", "field_named", "reason"),
    [
        ("user", "a b", "user", "must match"),
        ("user", None, "user", "must match"),
        ("type", "", "type", "must match"),
        ("producer", "x" * 65, "producer", "must match"),
        ("severity", "high", "severity", "must be info, notice"),
        ("title", 7, "title", "must be text"),
        ("title", "a\0b", "title", "U\\+0000"),
        ("body", "\0", "body", "U\\+0000"),
        ("body", "\ud800", "body", "must be text, not text with a lone surrogate"),
        ("data", [], "data", "must be an object"),
        ("data", {"a": {"b": object()}}, "data.a.b", "must be a JSON value"),
        ("idempotency_key", "", "idempotency_key", "1 to 200"),
        ("notification_id", ID + ".2", "notification_id", "must be a notification_id"),
        ("recipients", ["u1"], "recipients", "unknown field"),
    ],
)
def test_refusal__names_the_field(field: str, value: Any, field_named: str, reason: str) -> None:
    """The first invalid field is named, with what it must be."""
    error = refused(**{field: value})
    assert error.field == field_named
    assert error.code == "invalid"
    with pytest.raises(InvalidPublication, match=reason):
        raise error


def test_refusal__of_what_is_not_an_object() -> None:
    """Anything but an object, and an object that cannot be read, is refused in one line."""
    for value, reason in (
        ([], "a publication is an object, not a list"),
        (Hostile(), "a publication that cannot be read: RuntimeError"),
    ):
        with pytest.raises(InvalidPublication, match=reason):
            Publication.parse(value)
    with pytest.raises(InvalidPublication, match="x0: unknown field"):
        Publication.parse({f"x{n}": n for n in range(1000)})
    with pytest.raises(InvalidPublication, match="type: is required"):
        Publication.parse({"user": "u", "producer": "p"})


def test_item__refuses_too_much() -> None:
    """The content is limited as a whole; the field that holds most of it is named."""
    for field in ("title", "body"):
        big = Publication(**PLAIN, **{field: "x" * 1000})
        with pytest.raises(InvalidPublication, match=f"{field}: the content has 1001 bytes") as it:
            big.item(ID, 1, 1000)
        assert it.value.code == "too_large"
        assert big.item(ID, 1, 1001).notification_id == ID


def test_item__refuses_data_that_was_made_unfit() -> None:
    """What was put into a publication behind its back is refused by name."""
    one = Publication(**PLAIN, data={"list": []})
    one.data["list"].append(object())
    with pytest.raises(InvalidPublication, match="data: cannot be packed"):
        one.item(ID, 1, LIMIT)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.floats())))
def test_parse__takes_or_refuses_any_object(fields: dict[str, Any]) -> None:
    """No object at all raises anything else."""
    with suppress(InvalidPublication):
        assert Publication.parse({**PLAIN, **fields}).type
