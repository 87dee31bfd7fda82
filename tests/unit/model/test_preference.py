"""The rules in their order: what becomes of one recipient's routes, and why."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.model.decision import ChannelDecision, Delivery, Reason, Skip
from galaxy_notify.model.intent import Severity
from galaxy_notify.model.preference import (
    LONGEST,
    SEVERITIES,
    DeliveryRequest,
    Preference,
    PreferenceFields,
    decode_preference,
    encode,
    judge,
)
from galaxy_notify.model.user_preferences import UserPreferences, fields_of
from tests.support.judging import KNOWN, MORNING, NIGHT, asked, judged, raw, told, why


def test_judge__without_preferences_everything_is_told() -> None:
    """Who never said anything gets what is asked for, or what the system tells by default."""
    assert judged(asked("push", "email"), PreferenceFields()) == ChannelDecision(
        (Delivery("push"), Delivery("email"))
    )
    assert told(judged(asked(), PreferenceFields())) == ["push"]
    assert told(judged(asked(defaults=("web",)), PreferenceFields())) == ["web"]
    assert told(judged(asked(defaults=("push", "in_app")), PreferenceFields())) == [
        "push",
        "in_app",
    ]


def test_judge__a_mandatory_type_nobody_can_silence() -> None:
    """Silence, channels, severity and quiet hours do not count for it."""
    stored = PreferenceFields(raw(channels=[]), raw(min_severity="critical"), b"1", NIGHT)
    verdict = judged(asked("push", "email", mandatory=True), stored)
    assert verdict == ChannelDecision((Delivery("push"), Delivery("email")))


def test_judge__silence_comes_before_the_channels() -> None:
    """Who silenced all gets nothing, whatever else is set."""
    stored = PreferenceFields(raw(channels=["push"]), None, b"1", NIGHT)
    verdict = judged(asked("push", "email", severity="critical"), stored)
    assert why(verdict) == {"push": "silenced", "email": "silenced"}
    assert told(verdict) == []


@pytest.mark.parametrize("named", [(), ("push", "email")])
@pytest.mark.parametrize("at", [0, 1])
def test_judge__no_channels_means_nothing(named: tuple[str, ...], at: int) -> None:
    """An empty list, of the type or of every type, silences."""
    stored = PreferenceFields(*[raw(channels=[]) if place == at else None for place in range(2)])
    verdict = judged(asked(*named), stored)
    assert why(verdict) == dict.fromkeys(named or ("push",), "no_channels")


def test_judge__the_type_comes_before_all_types() -> None:
    """Channels of the type count; without any, those of every type."""
    general = raw(channels=["email"], min_severity="warning")
    assert told(
        judged(asked("push", "email"), PreferenceFields(raw(channels=["push"]), raw()))
    ) == ["push"]
    special = PreferenceFields(raw(channels=["push"], min_severity="info"), general)
    assert told(judged(asked("push", "email"), special)) == ["push"]
    least = PreferenceFields(raw(min_severity="info"), general)
    assert told(judged(asked("push", "email"), least)) == ["email"]
    opened = PreferenceFields(raw(channels=["push"], min_severity="info"), raw(channels=[]))
    assert told(judged(asked("push"), opened)) == ["push"]


def test_judge__skips_what_was_asked_for_and_is_not_wanted() -> None:
    """An intent that names its channels reaches those of them that are wanted."""
    verdict = judged(asked("email", "push", "web"), PreferenceFields(raw(channels=["web", "push"])))
    assert told(verdict) == ["push", "web"]
    assert why(verdict) == {"email": "channel_not_wanted"}


def test_judge__puts_what_is_wanted_in_place_of_the_default() -> None:
    """An intent that leaves its channels out goes by those that the recipient wants."""
    assert told(judged(asked(), PreferenceFields(None, raw(channels=["web", "email"])))) == [
        "email",
        "web",
    ]
    assert told(judged(asked(), PreferenceFields(None, raw(channels=["fax", "email"])))) == [
        "email"
    ]
    verdict = judged(asked(), PreferenceFields(None, raw(channels=["fax"])))
    assert why(verdict) == {"push": "channel_not_wanted"}


@pytest.mark.parametrize("least", range(4))
@pytest.mark.parametrize("given_", range(4))
def test_judge__weighs_the_severity(given_: int, least: int) -> None:
    """What is less pressing than the least that is wanted is skipped."""
    for place in range(2):
        stored = PreferenceFields(
            *[raw(min_severity=SEVERITIES[least]) if at == place else None for at in range(2)]
        )
        verdict = judged(asked("push", severity=SEVERITIES[given_]), stored)
        below = {"push": "below_minimum"} if given_ < least else {}
        assert why(verdict) == below
        assert told(verdict) == ([] if below else ["push"])


def test_judge__the_channel_comes_before_the_severity() -> None:
    """Of two reasons the first one is told."""
    stored = PreferenceFields(raw(channels=["push"], min_severity="warning"))
    verdict = judged(asked("push", "email"), stored)
    assert why(verdict) == {"email": "channel_not_wanted", "push": "below_minimum"}


def test_judge__quiet_hours_defer_what_disturbs() -> None:
    """A push waits for the end of the night; what does not disturb goes on its way."""
    verdict = judged(asked("email", "push"), PreferenceFields(quiet=NIGHT))
    assert verdict == ChannelDecision((Delivery("email"), Delivery("push", MORNING)))
    other = judged(asked("email", "push", deferring=("email",)), PreferenceFields(quiet=NIGHT))
    assert other == ChannelDecision((Delivery("email", MORNING), Delivery("push")))


def test_judge__quiet_hours_look_at_when_it_is_due() -> None:
    """What is due in the daytime is not deferred, whenever it is handed in."""
    stored = PreferenceFields(quiet=NIGHT)
    assert judge(asked("push"), stored, MORNING, None) == ChannelDecision((Delivery("push"),))
    before = judge(asked("push"), stored, MORNING - 1, None)
    assert before == ChannelDecision((Delivery("push", MORNING),))


def test_judge__critical_breaks_through_the_night() -> None:
    """Quiet hours hold nothing back that is critical."""
    verdict = judged(asked("push", severity="critical"), PreferenceFields(quiet=NIGHT))
    assert verdict == ChannelDecision((Delivery("push"),))


@pytest.mark.parametrize(("expires", "late"), [(MORNING, True), (MORNING + 1, False)])
def test_judge__what_would_expire_in_the_night_is_skipped(expires: int, late: bool) -> None:
    """What may not go out before it has expired is never told; the record says why."""
    verdict = judged(asked("push", "email"), PreferenceFields(quiet=NIGHT), expires)
    assert told(verdict) == (["email"] if late else ["push", "email"])
    assert why(verdict) == ({"push": "quiet_hours"} if late else {})


def test_judge__a_channel_named_twice_is_one_route() -> None:
    """Routes are a set."""
    assert told(judged(asked("push", "push"), PreferenceFields())) == ["push"]
    assert why(judged(asked("push", "push"), PreferenceFields(silenced=b"1"))) == {
        "push": "silenced"
    }


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 4000,
        b'{"channels":"push"}',
        b'{"channels":["Push"]}',
        b'{"channels":[1]}',
        b'{"channels":{}}',
        b'{"min_severity":"watch"}',
        b'{"min_severity":["info"]}',
        b'{"channels":[],"min_severity":7}',
        b'{"channels":[], "x":"' + b"x" * LONGEST + b'"}',
        b'{"channels":[' + b",".join([b'"c"'] * 65) + b"]}",
        b'{"from":"22:00","to":"07:00","zone":"Mars/Base"}',
        b'{"from":"22:00","to":"7","zone":"UTC"}',
        b'{"x":' + b"9" * 4000 + b"}",
    ],
)
def test_judge__what_cannot_be_read_counts_as_not_there(garbage: bytes) -> None:
    """One field that is broken does not hold up what the others say."""
    for stored in (
        PreferenceFields(garbage),
        PreferenceFields(None, garbage),
        PreferenceFields(quiet=garbage),
    ):
        assert judged(asked("push"), stored) == ChannelDecision((Delivery("push"),))
    broken = PreferenceFields(garbage, raw(channels=["email"]), garbage, NIGHT)
    assert told(judged(asked("push", "email"), broken)) == ["email"]


_BYTES = st.none() | st.binary(max_size=60)
_FIELD = _BYTES | st.builds(
    lambda fields: json.dumps(fields).encode(),
    st.dictionaries(
        st.sampled_from(["channels", "min_severity", "from", "to", "zone", "x"]),
        st.none()
        | st.lists(st.sampled_from([*KNOWN, "fax", 7]), max_size=4)
        | st.sampled_from([*SEVERITIES, "watch", "22:00", "07:00", "UTC", "Europe/Berlin"]),
    ),
)
_SAID = _BYTES | st.sampled_from([b"0", b"1"])


@given(
    asked=st.builds(
        DeliveryRequest,
        st.lists(st.sampled_from(KNOWN), min_size=1).map(tuple),
        st.booleans(),
        st.sampled_from(SEVERITIES),
        st.just(KNOWN),
        st.booleans(),
        st.sampled_from([("push",), ("email", "web"), ("push", "in_app")]),
        st.sampled_from([(), ("push",), KNOWN]),
        st.sampled_from([(), (("email", 1),), (("push", 10**8), ("web", 10**10))]),
    ),
    stored=st.builds(
        PreferenceFields, _FIELD, _FIELD, _BYTES | st.just(b"1"), _FIELD, _SAID, _SAID
    ),
    due_ms=st.integers(10**12, 10**13 - 1),
    lasts=st.none() | st.integers(1, 10**9),
)
def test_judge__never_raises_and_loses_no_channel(
    asked: DeliveryRequest, stored: PreferenceFields, due_ms: int, lasts: int | None
) -> None:
    """Whatever is stored, every channel asked for is told or skipped, once, and none too late."""
    expires = lasts and due_ms + lasts
    verdict = judge(asked, stored, due_ms, expires)
    channels = told(verdict) + list(why(verdict))
    assert len(channels) == len(set(channels)) == len(verdict.deliveries) + len(verdict.skips)
    assert channels
    assert set(channels) <= set(KNOWN)
    if asked.names_channels:
        assert set(channels) == set(asked.channels)
    for channel, until, delay_ms in verdict.deliveries:
        assert until is None or channel != "in_app"
        assert delay_ms == dict(asked.delays).get(channel, 0)
        assert until is None or due_ms + delay_ms < until
        at = until or due_ms + delay_ms
        assert at < (expires or at + 1)
    if asked.mandatory:
        assert {skip.reason for skip in verdict.skips} <= {Reason.EXPIRES_FIRST}
    assert judge(asked, stored, due_ms, expires) == verdict


@given(
    st.builds(
        Preference,
        st.none() | st.lists(st.sampled_from(KNOWN), unique=True).map(lambda c: tuple(sorted(c))),
        st.none() | st.sampled_from(SEVERITIES),
        st.none() | st.booleans(),
    )
)
def test_preference__is_read_as_it_was_written(preference: Preference) -> None:
    """What is stored says the same when it is read, but for the feed, which has another field."""
    assert decode_preference(encode(preference)) == preference._replace(in_app=None)
    fields = fields_of("chat", preference) | fields_of(None, preference)
    raw_fields = {name.encode(): value for name, value in fields.items() if value}
    found = UserPreferences.from_fields(raw_fields)
    wanted = None if preference == Preference() else preference
    assert (found.of_every_type, found.of_types.get("chat")) == (wanted, wanted)
    assert found.unreadable == ()


def test_preference__of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """A field that this version does not know is passed over."""
    assert decode_preference(b'{"min_severity":"notice","digest":1}') == Preference(None, "notice")


def test_severities__are_those_of_an_intent() -> None:
    """What an intent may say is what a preference can ask for."""
    assert get_args(Severity) == SEVERITIES


def test_skip__says_its_reason_in_plain_words() -> None:
    """The reasons are the words that are stored, counted and shown."""
    verdict = judged(asked("push"), PreferenceFields(silenced=b"1"))
    assert verdict.skips == (Skip("push", verdict.skips[0].reason),)
    assert f"{verdict.skips[0].reason}" == "silenced"
