"""What is written of preferences is taken exactly, or refused by the name of its first fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import GalaxyNotifyError, Invalid, InvalidIntent, InvalidPreference
from galaxy_notify.model.preference import LONGEST, MOST_CHANNELS, Preference, encode
from galaxy_notify.model.preference_input import check_wish, read_document
from galaxy_notify.model.quiet import Quiet
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences

KNOWN = ("email", "push")
FULL = {
    "user": "u1",
    "preferences": {
        "*": {"channels": ["push", "email", "push"], "min_severity": "notice"},
        "types": {
            "chat": {"channels": [], "in_app": True},
            "order.late": {"min_severity": "info"},
            "typing": {"in_app": False},
        },
        "silenced": True,
        "quiet": {"from": "22:00", "to": "07:30", "zone": "Europe/Berlin"},
    },
}


def test_document__is_taken_whole() -> None:
    """Every part of a line arrives, and comes out again as it was."""
    user, wanted = read_document(FULL, KNOWN)
    assert user == "u1"
    assert wanted == UserPreferences(
        Preference(("email", "push"), "notice"),
        {
            "chat": Preference((), None, True),
            "order.late": Preference(None, "info"),
            "typing": Preference(None, None, False),
        },
        True,
        Quiet(1320, 450, "Europe/Berlin"),
    )
    assert read_document({"user": "u1", "preferences": wanted.as_json()}, KNOWN)[1] == wanted


def test_document__may_leave_everything_out() -> None:
    """Null is the same as absent: an export of nothing is nothing."""
    nothing = UserPreferences()
    for preferences in ({}, nothing.as_json()):
        assert read_document({"user": "u1", "preferences": preferences}, KNOWN)[1] == nothing


@pytest.mark.parametrize(
    ("preferences", "field", "reason"),
    [
        ([], "preferences", "must be an object, not a list"),
        ({"chat": {}}, "preferences.chat", "unknown field"),
        ({"*": []}, "preferences.*", "must be an object, not a list"),
        ({"*": {}}, "preferences.*", "needs channels, min_severity or in_app"),
        ({"*": {"in_app": "no"}}, "preferences.*.in_app", "must be true or false, not text"),
        ({"*": {"x": 1}}, "preferences.*.x", "unknown field"),
        ({"*": {"channels": {}}}, "preferences.*.channels", "must be a list, not an object"),
        ({"*": {"channels": [1]}}, "preferences.*.channels[0]", "must be text, not a number"),
        ({"*": {"min_severity": 1}}, "preferences.*.min_severity", "must be info, notice"),
        ({"types": []}, "preferences.types", "must be an object, not a list"),
        ({"types": {"a b": {}}}, "preferences.types", 'not "a b"'),
        ({"types": {"chat": 1}}, "preferences.types.chat", "must be an object, not a number"),
        ({"silenced": 1}, "preferences.silenced", "must be true or false, not a number"),
        ({"quiet": "22-7"}, "preferences.quiet", "must be an object, not text"),
        ({"quiet": {}}, "preferences.quiet.from", 'must be a time such as "22:00", not null'),
        ({"quiet": {"from": "22:00", "to": 7}}, "preferences.quiet.to", "not 7"),
        ({"quiet": {"from": "22:00", "to": "07:00"}}, "preferences.quiet.zone", "not null"),
        ({"quiet": {"zone": "UTC", "until": 1}}, "preferences.quiet.until", "unknown field"),
    ],
)
def test_document__names_what_is_wrong(preferences: Any, field: str, reason: str) -> None:
    """One error, with the path to the field and the reason."""
    with pytest.raises(InvalidPreference) as refused:
        read_document({"user": "u1", "preferences": preferences}, KNOWN)
    assert refused.value.field == field
    assert reason in refused.value.message
    assert refused.value.code == "invalid"


@pytest.mark.parametrize(
    ("document", "field"),
    [(None, ""), ({}, "user"), ({"user": 7}, "user"), ({"user": "u1"}, "preferences")],
)
def test_document__needs_a_user_and_preferences(document: Any, field: str) -> None:
    """Both are required, and nothing else is taken."""
    with pytest.raises(InvalidPreference) as refused:
        read_document(document, KNOWN)
    assert refused.value.field == field


def test_document__of_too_many_types_is_too_large() -> None:
    """As many types as fit beside everything else, and not one more."""
    types: dict[str, Any] = {f"t{number}": {"channels": []} for number in range(MOST_FIELDS - 3)}
    whole = {**FULL["preferences"], "types": types}  # type: ignore[dict-item]  # it is a mapping
    _, wanted = read_document({"user": "u1", "preferences": whole}, KNOWN)
    assert len(wanted.to_fields()) == MOST_FIELDS
    types["more"] = {"channels": []}
    with pytest.raises(InvalidPreference) as refused:
        read_document({"user": "u1", "preferences": whole}, KNOWN)
    assert (refused.value.field, refused.value.code) == ("preferences.types", "too_large")


def test_wish__of_as_many_channels_as_there_may_be_can_be_stored() -> None:
    """The longest preference fits the bound of a stored field; one channel more is refused."""
    known = [f"c{number:02d}{'x' * 29}" for number in range(MOST_CHANNELS + 1)]
    longest = check_wish(known[:-1], "critical", known)
    assert len(encode(longest)) <= LONGEST
    with pytest.raises(InvalidPreference, match="65 channels, the limit is 64"):
        check_wish(known, None, known)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(KNOWN),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "user",
                    "preferences",
                    "*",
                    "types",
                    "silenced",
                    "quiet",
                    "channels",
                    "min_severity",
                    "in_app",
                ]
            ),
            values,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_document__of_any_json_is_taken_or_refused(value: Any) -> None:
    """Nothing but the one error is raised; what is taken can be stored and read again."""
    for document in (value, {"user": "u1", "preferences": value}):
        try:
            _, wanted = read_document(document, KNOWN)
        except InvalidPreference:
            continue
        raw = {name.encode(): field for name, field in wanted.to_fields().items()}
        assert UserPreferences.from_fields(raw) == wanted


@given(st.dictionaries(st.binary(max_size=12) | st.just(b"type:a"), st.binary(max_size=20)))
def test_fields__of_any_bytes_are_read_or_named(fields: dict[bytes, bytes]) -> None:
    """Each field of a hash is something that is wanted, or is told as unreadable."""
    found = UserPreferences.from_fields(fields)
    assert len(found.to_fields()) + len(found.unreadable) == len(fields)


def test_errors__are_told_apart_and_handled_together() -> None:
    """A refused preference is no refused intent; both are what was handed in wrongly."""
    for kind in (InvalidIntent, InvalidPreference):
        assert issubclass(kind, Invalid)
        assert issubclass(kind, GalaxyNotifyError)
    assert not issubclass(InvalidPreference, InvalidIntent)
