"""The data of a webhook: read strictly, and nothing of it is shown that is secret."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.contacts.webhook_data import (
    WebhookData,
    WebhookSecret,
    check_webhook_data,
    read_webhook_data,
)
from galaxy_notify.errors import InvalidContact
from tests.support.contacts import SECRETS, WEBHOOK_SECRET

ALL: dict[str, Any] = {
    "types": ["chat", "game.*"],
    "secrets": [{"secret": WEBHOOK_SECRET, "until_ms": None}],
    "headers": {"X-Tenant": "7", "Authorization": "Bearer abc=="},
    "enabled_at_ms": 5,
}


def test_data__is_read_and_written() -> None:
    """All of it, and nothing."""
    found = check_webhook_data(ALL)
    assert found == WebhookData(
        ("chat", "game.*"), (WebhookSecret(WEBHOOK_SECRET),), ALL["headers"], 5
    )
    assert found.as_data() == ALL
    assert read_webhook_data({}) == WebhookData()
    assert WebhookData().as_data() == {"types": [], "secrets": []}
    assert read_webhook_data(dict.fromkeys(ALL)) == WebhookData()


def test_data__shows_no_secret() -> None:
    """Its text may stand in an error."""
    shown = repr(check_webhook_data(ALL))
    assert WEBHOOK_SECRET not in shown
    assert "Bearer" not in shown
    assert WEBHOOK_SECRET not in repr(WebhookSecret(WEBHOOK_SECRET))


@pytest.mark.parametrize(
    ("types", "kind", "wanted"),
    [
        ([], "chat", True),
        (["chat"], "chat", True),
        (["chat"], "chats", False),
        (["a", "game.*"], "game.turn", True),
        (["game.*"], "game", False),
        (["game.*"], "games.turn", False),
        (["*"], "chat", True),
    ],
)
def test_wants__names_and_beginnings(types: list[str], kind: str, wanted: bool) -> None:
    """Without any type it wants all."""
    assert read_webhook_data({"types": types}).wants(kind) is wanted


def test_valid_secrets__end_when_they_say_so() -> None:
    """While a secret is replaced both are used, the new one first."""
    old, new = WebhookSecret("old", 100), WebhookSecret("new")
    data = WebhookData(secrets=(new, old))
    assert data.valid_secrets(99) == ["new", "old"]
    assert data.valid_secrets(100) == ["new"]
    assert WebhookData(secrets=(old,)).valid_secrets(100) == []


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"types": "chat"}, "data.types", "must be a list, not text"),
        ({"types": ["chat", "a b"]}, "data.types[1]", "must be a type, or how types begin and *"),
        ({"types": ["*.a"]}, "data.types[0]", "must be a type"),
        ({"types": ["a*b"]}, "data.types[0]", "must be a type"),
        ({"types": [7]}, "data.types[0]", "must be a type"),
        ({"types": ["a"] * 101}, "data.types", "must have 100 entries at most"),
        ({"secrets": WEBHOOK_SECRET}, "data.secrets", "must be a list, not text"),
        ({"secrets": [WEBHOOK_SECRET]}, "data.secrets[0]", "must be an object, not text"),
        ({"secrets": [{"key": "a"}]}, "data.secrets[0].key", "is not one of secret, until_ms"),
        ({"secrets": [{}]}, "data.secrets[0].secret", "must be text, not null"),
        ({"secrets": [{"secret": "s3cr3t"}]}, "data.secrets[0].secret", "must be whsec_ and base"),
        ({"secrets": [{"secret": "whsec_AAAA"}]}, "data.secrets[0].secret", "of 24 to 64 bytes"),
        (
            {"secrets": [{"secret": WEBHOOK_SECRET[6:]}]},
            "data.secrets[0].secret",
            "must be whsec_",
        ),
        (
            {"secrets": [{"secret": WEBHOOK_SECRET, "until_ms": "1"}]},
            "data.secrets[0].until_ms",
            "must be milliseconds since 1970",
        ),
        (
            {"secrets": [{"secret": WEBHOOK_SECRET, "until_ms": True}]},
            "data.secrets[0].until_ms",
            "must be milliseconds since 1970",
        ),
        ({"secrets": SECRETS * 5}, "data.secrets", "must have 4 entries at most"),
        ({"secrets": []}, "data.secrets", "never sent unsigned"),
        ({"secrets": None}, "data.secrets", "never sent unsigned"),
        ({"label": "x"}, "data.label", "is not one of enabled_at_ms, headers, secrets, types"),
        ({"enabled_at_ms": -1}, "data.enabled_at_ms", "must be milliseconds"),
        ({"headers": ["a"]}, "data.headers", "must be an object, not a list"),
    ],
)
def test_data__that_is_wrong_is_refused_by_field(
    wrong: dict[str, Any], field: str, said: str
) -> None:
    """No value of a secret is shown."""
    with pytest.raises(InvalidContact) as caught:
        check_webhook_data({"secrets": SECRETS, **wrong})
    assert caught.value.field == field
    assert said in caught.value.message
    assert "s3cr3t" not in str(caught.value)
    assert WEBHOOK_SECRET[6:] not in str(caught.value)


def test_data__of_a_newer_version_is_read() -> None:
    """What this version does not know is passed over where it sends."""
    assert read_webhook_data({**ALL, "newer": 1}) == read_webhook_data(ALL)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"Host": "a"}, "only X-"),
        ({"webhook-id": "a"}, "only X-"),
        ({"Content-Length": "0"}, "only X-"),
        ({"X-": "a"}, "only X-"),
        ({"X-A:": "a"}, "only X-"),
        ({"X-A\r\nHost": "a"}, "only X-"),
        ({"Authorization\n": "a"}, "only X-"),
        ({"X-A": ""}, "printable"),
        ({"X-A": 7}, "printable"),
        ({"X-A": " a"}, "printable"),
        ({"X-A": "a\r\nHost: b"}, "printable"),
        ({"X-A": "a\n"}, "printable"),
        ({"X-A": "a\0"}, "printable"),
        ({"X-A": "ü"}, "printable"),
        ({"X-A": "a" * 4097}, "printable"),
        ({"X-A": "a", "x-a": "b"}, "twice"),
        ({f"X-{n}": "a" for n in range(21)}, "at most 20"),
    ],
)
def test_headers__are_refused(given: dict[str, Any], why: str) -> None:
    """What would replace another header, or add one."""
    with pytest.raises(InvalidContact, match=why):
        read_webhook_data({"headers": given})


def test_headers__are_kept() -> None:
    """As they were given."""
    given = {"X-Tenant": "7", "x-a": "a b\tc", "Authorization": "Bearer abc=="}
    assert read_webhook_data({"headers": given}).headers == given
