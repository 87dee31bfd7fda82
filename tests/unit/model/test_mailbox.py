"""Mailboxes: what SMTP and a header can carry, and nothing else."""

from __future__ import annotations

import pytest

from galaxy_notify.model.mailbox import Mailbox, parse_mailbox, smtp_address


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("ada@example.com", Mailbox("", "ada@example.com")),
        ("Ada Lovelace <ada@example.com>", Mailbox("Ada Lovelace", "ada@example.com")),
        ('"Lovelace, Ada" <ada@example.com>', Mailbox("Lovelace, Ada", "ada@example.com")),
        ("<a.b+c@mail.example>", Mailbox("", "a.b+c@mail.example")),
        ("Jörg <joerg@bücher.example>", Mailbox("Jörg", "joerg@xn--bcher-kva.example")),
        ("root@localhost", Mailbox("", "root@localhost")),
    ],
)
def test_mailbox__is_a_name_and_an_address(text: str, mailbox: Mailbox) -> None:
    """The domain is in ASCII, the name as people write it."""
    assert parse_mailbox(text) == mailbox


@pytest.mark.parametrize(
    "address",
    [
        "", "ada", "@example.com", "ada@", "a b@example.com", "ada@exam ple.com",
        "a..b@example.com", ".a@example.com", "ada@-example.com", "ada@example..com",
        "ada@example.com.",
        "ada@example.com\r\nRCPT TO:<x@y.z>", "ada@example.com>", "ädä@example.com",
        "a@b@example.com", '"a b"@example.com', f"{'a' * 65}@example.com",
        "ada@" + "a" * 64 + ".com",
        "a@" + ".".join(["a" * 63] * 4), "ada@[127.0.0.1]", "ada,bob@example.com",
    ],
)  # fmt: skip
def test_address__is_one_or_is_refused(address: str) -> None:
    """What could end a command or begin a second recipient is no address."""
    with pytest.raises(ValueError, match=r"^must be an e-mail address"):
        smtp_address(address)


def test_mailbox__holds_no_line_end() -> None:
    """A name with a line end would begin another header."""
    with pytest.raises(ValueError, match="control characters"):
        parse_mailbox("Ada\nBcc: x <ada@example.com>")
