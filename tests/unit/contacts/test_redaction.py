"""Text of other code names neither the address nor the secrets of a contact."""

from __future__ import annotations

import pytest

from galaxy_notify.contacts.redaction import without_address
from tests.support.own_channels import contact

HOOK = "https://user:pass@example.com/hooks/u1?key=abcd"


@pytest.mark.parametrize(
    ("address", "text", "expected"),
    [
        ("ann@example.com", "550 <ANN@example.com>", "550 <********>"),
        ("annika@example.com", "no mailbox annika", "no mailbox ********"),
        ("ann@example.com", "planned", "planned"),
        (HOOK, f"GET {HOOK}: 404", "GET ********: 404"),
        (HOOK, "example.com:443 GET /hooks/u1?key=abcd", "example.com:443 GET ********?********"),
        (HOOK, "login user:pass", "login ********"),
        ("https://[", "cannot read https://[", "cannot read ********"),
        ("+49 170 1234567", "to +49 170 1234567 (x)", "to ******** (x)"),
        ("", "text", "text"),
    ],
)
def test_without_address__masks_it_and_its_parts(address: str, text: str, expected: str) -> None:
    """In any case; of a URL the host stays, of short parts nothing is masked."""
    assert without_address(text, contact(address)) == expected


def test_without_address__masks_secrets_of_the_data() -> None:
    """Values below a name that is never shown, however deep; other data stays."""
    data: dict[str, object] = {
        "name": "Annika",
        "keys": {"auth": ["tok-1234"]},
        "more": {"Token": "tok-5678"},
    }
    text = "Annika: tok-1234 and tok-5678 refused"
    assert without_address(text, contact(HOOK, **data)) == "Annika: ******** and ******** refused"


def test_without_address__leaves_a_text_without_contact() -> None:
    """A channel that reaches nobody has none."""
    assert without_address("a text", None) == "a text"
