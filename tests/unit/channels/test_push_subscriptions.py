"""What a browser may post, and for which channel."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.channels.push_subscriptions import PushSubscriptions, open_subscriptions
from galaxy_notify.contacts.web_push_data import key_id_of
from galaxy_notify.errors import ConfigurationError, InvalidContact
from galaxy_notify.settings import settings_from
from tests.support.push import ENDPOINT, EXAMPLE, KEYS, push_sections

BODY: dict[str, Any] = {
    "endpoint": f"{ENDPOINT}/a",
    "expirationTime": None,
    "keys": EXAMPLE.keys,
}


def stored(*channels: str) -> PushSubscriptions:
    """Return the subscriptions of a deployment with these channels."""
    return PushSubscriptions(settings_from(push_sections(*channels)))


def test_body__of_a_browser_is_a_contact() -> None:
    """With the id of the present key; the id is that of the endpoint, and does not show it."""
    made = stored().read(BODY, "push")
    assert (made.channel, made.address) == ("push", BODY["endpoint"])
    assert made.data == {**EXAMPLE.keys, "key_id": key_id_of(KEYS["public_key"])}
    assert len(made.id) == 32
    other = {**BODY, "endpoint": f"{ENDPOINT}/b"}
    assert stored().read(dict(reversed(BODY.items())), "push").id == made.id
    assert stored().read(other, "push").id != made.id


def test_body__of_a_later_browser_is_read() -> None:
    """It may say more than this version knows."""
    later = {**BODY, "contentEncoding": "x", "keys": {**EXAMPLE.keys, "more": "y"}}
    assert stored().read(later, "push") == stored().read(BODY, "push")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], ": must be an object, not a list"),
        ({}, "keys: must be an object, not null"),
        ({"keys": EXAMPLE.keys}, "endpoint: must be text, not null"),
        ({**BODY, "endpoint": "https://10.0.0.1/a"}, "endpoint: the address is not allowed"),
        ({**BODY, "endpoint": "https://a@b.example/"}, None),
        ({**BODY, "keys": {**EXAMPLE.keys, "auth": "x"}}, None),
    ],
)
def test_invalid_body__is_refused_with_its_field(body: Any, message: str | None) -> None:
    """The fields are those of the browser."""
    with pytest.raises(InvalidContact) as caught:
        stored().read(body, "push")
    if message is not None:
        assert str(caught.value) == message.removeprefix(": ")
    assert caught.value.field in ("", "endpoint", "keys", "keys.auth")


def test_channel__is_the_only_one_or_named() -> None:
    """Of several, one must be named."""
    assert stored().channel() == "push"
    two = stored("push", "other")
    assert two.channel("other") == "other"
    with pytest.raises(InvalidContact, match="must be given"):
        two.channel()
    assert two.read(BODY, "other").id != two.read(BODY, "push").id


def test_deployment__may_have_none() -> None:
    """No channel of this kind, contacts that are elsewhere, or no keys to store them with."""
    sections = push_sections()
    assert open_subscriptions(settings_from(sections)) is not None
    assert open_subscriptions(settings_from({})) is None
    for contacts in ({}, {"lookup": "tests.support.own_channels:a_contact"}):
        other = settings_from({**sections, "contacts": contacts})
        assert open_subscriptions(other) is None
    with pytest.raises(ConfigurationError, match="web_push"):
        PushSubscriptions(settings_from({"contacts": sections["contacts"]}))
