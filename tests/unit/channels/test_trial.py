"""A test message: to whom it goes, and what is said of those to whom it does not."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from galaxy_notify.channels import trial
from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.trial import Tried, trial_event, try_channel
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.ids import is_event_id
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings import settings_from
from tests.support.own_channels import contact

SETTINGS = settings_from({"worker": {"channels": ["mine"]}, "channels": {"mine": {"kind": "log"}}})
ANN = replace(contact(), id="ann")
BOB = replace(contact("bob@example.com"), id="bob", disabled_at_ms=1)
CAT = replace(contact("cat@example.com"), id="cat", data={"types": ["another"]})


class Sink:
    """A kind whose contacts may want one type only, and which answers the same to each."""

    has_contacts = True

    def __init__(self, answer: Attempt | OSError) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.closed = False

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return those that want the type."""
        wanted = (one for one in contacts if event.type in one.data.get("types", [event.type]))
        return [Target(one) for one in wanted]

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Answer."""
        assert deadline > asyncio.get_running_loop().time()
        self.sent.append(target.id)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        """Note it."""
        self.closed = True


class Stored:
    """The contacts of the user."""

    async def of(self, user: str, channel: str) -> tuple[Contact, ...]:
        """Return three, of which one is disabled."""
        assert (user, channel) == ("u1", "mine")
        return (ANN, BOB, CAT)


def tried(monkeypatch: pytest.MonkeyPatch, sink: Sink, type: str = "t") -> Sequence[Tried]:
    """Send a test message by this kind."""
    monkeypatch.setattr(trial, "open_kind", lambda *_: sink)
    monkeypatch.setattr(trial, "open_contacts", lambda *_: Stored())
    key_space = KeySpace("gn", SharedSettings.from_settings(SETTINGS))
    event = trial_event("mine", "u1", type)
    return asyncio.run(try_channel("mine", event, "u1", SETTINGS, key_space))


def test_try__sends_to_those_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the others it says why they are left out, as a daemon would."""
    sink = Sink(Attempt("delivered", status=204))
    found = tried(monkeypatch, sink)
    assert sink.sent == ["ann"]
    assert sink.closed
    assert found == [
        Tried(ANN, Attempt("delivered", status=204)),
        Tried(BOB, None, "endpoint_disabled"),
        Tried(CAT, None, "unsubscribed"),
    ]
    tried(monkeypatch, sink, "another")
    assert sink.sent == ["ann", "ann", "cat"]


def test_try__names_a_fault_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon would wait; a test message is not sent later."""
    found = tried(monkeypatch, Sink(OSError(errno.EMFILE, "Too many open files")))
    attempt = found[0].attempt
    assert attempt is not None
    assert (attempt.outcome, found[0].is_delivered) == ("transient", False)
    assert attempt.detail.endswith("Too many open files")


def test_tried__masks_the_address() -> None:
    """What is left out has its reason; empty texts are null."""
    refused = Attempt("gone", "http_status", "it answered 410", 410, 5, "bye")
    shown = Tried(ANN, refused).as_json()
    assert shown == {
        "id": "ann",
        "address": "a…@example.com",
        "outcome": "gone",
        "reason": "http_status",
        "detail": "it answered 410",
        "status": 410,
        "retry_after_ms": 5,
        "response": "bye",
    }
    nothing = dict.fromkeys(shown)
    skipped = Tried(BOB, None, "unsubscribed").as_json()
    assert skipped == nothing | {
        "id": "bob",
        "address": "b…@example.com",
        "outcome": "skipped",
        "reason": "unsubscribed",
    }
    assert Tried(None, Attempt("delivered")).as_json() == nothing | {"outcome": "delivered"}


def test_trial_event__is_like_one_of_a_notification() -> None:
    """Its id has the usual form, and it can be sent as JSON."""
    event = trial_event("mine", "u1", "t")
    assert is_event_id(event.event_id)
    assert event.event_id == f"{event.notification_id}/mine:u1"
    assert json.loads(json.dumps(event.document()))["data"] == {"test": True}
