"""The feed among the channels: what preferences say of it, and what they do not."""

from __future__ import annotations

import pytest

from galaxy_notify.model.decision import Delivery
from galaxy_notify.model.preference import PreferenceFields
from tests.support.judging import MORNING, NIGHT, asked, judged, raw, told, why


def test_judge__the_feed_is_not_a_matter_of_the_list_of_channels() -> None:
    """A list neither takes a notification out of the feed nor puts one there."""
    pushed, listed = raw(channels=["push"]), raw(channels=["in_app"])
    assert told(judged(asked("push", "in_app"), PreferenceFields(pushed))) == ["push", "in_app"]
    assert told(judged(asked("push"), PreferenceFields(raw(channels=["in_app", "push"])))) == [
        "push"
    ]
    both = asked(defaults=("push", "in_app"))
    mailed = PreferenceFields(None, raw(channels=["email"]))
    assert told(judged(both, mailed)) == ["email", "in_app"]
    assert told(judged(asked(), PreferenceFields(raw(channels=["in_app", "email"])))) == ["email"]
    only = judged(both, PreferenceFields(listed))
    assert (told(only), why(only)) == (["in_app"], {"push": "channel_not_wanted"})
    nothing = judged(asked(), PreferenceFields(listed))
    assert (told(nothing), why(nothing)) == ([], {"push": "channel_not_wanted"})


def test_judge__the_feed_has_an_entry_of_its_own() -> None:
    """No for the type, or else for every type, keeps it out; the other channels go on."""
    both = asked("push", "in_app")
    for said in ({"in_app_of_type": b"0"}, {"in_app_of_every_type": b"0"}):
        verdict = judged(both, PreferenceFields(raw(channels=["push"]), **said))
        assert (told(verdict), why(verdict)) == (["push"], {"in_app": "channel_not_wanted"})
    opened = PreferenceFields(in_app_of_type=b"1", in_app_of_every_type=b"0")
    assert told(judged(both, opened)) == ["push", "in_app"]
    unreadable = PreferenceFields(in_app_of_type=b"no", in_app_of_every_type=b"0")
    assert told(judged(both, unreadable)) == ["push"]
    must = judged(asked("in_app", mandatory=True), PreferenceFields(in_app_of_type=b"0"))
    assert told(must) == ["in_app"]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (PreferenceFields(silenced=b"1"), "silenced"),
        (PreferenceFields(raw(channels=[])), "no_channels"),
    ],
)
def test_judge__the_feed_is_silenced_with_everything_else(
    stored: PreferenceFields, reason: str
) -> None:
    """Silence and an empty list count for the feed, too."""
    assert why(judged(asked("push", "in_app"), stored)) == {"push": reason, "in_app": reason}


def test_judge__the_feed_keeps_what_is_less_severe() -> None:
    """The minimum severity is for what interrupts; a feed is read when it suits its user."""
    verdict = judged(asked("push", "in_app"), PreferenceFields(raw(min_severity="warning")))
    assert (told(verdict), why(verdict)) == (["in_app"], {"push": "below_minimum"})


def test_judge__the_feed_is_never_quiet() -> None:
    """Quiet hours do not defer it, even where the settings say so."""
    asking = asked("push", "in_app", deferring=("push", "in_app"))
    for expires in (None, MORNING):
        assert (
            Delivery("in_app") in judged(asking, PreferenceFields(quiet=NIGHT), expires).deliveries
        )
