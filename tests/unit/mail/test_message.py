"""An e-mail as bytes: what a strict parser reads of it is what was to be said."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.mail.message import Mail, message_id, one_line
from galaxy_notify.model.mailbox import Mailbox

ID = message_id("0a.1/mail:u1 c1", "example.com")
URL = "https://notify.example.com/v1/unsubscribe?token=" + "a" * 120
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"]
REST = ["MIME-Version", "Content-Type"]


def mail(
    subject: str = "Your turn",
    text: str = "Play.",
    html: str = "<p>Play.</p>",
    name: str = "Example",
    url: str = "",
) -> Mail:
    """Return an e-mail."""
    sender = Mailbox(name, "notify@example.com")
    return Mail(sender, "ada@example.org", subject, text, html, ID, 1_900_000_000, url)


def parsed(one: Mail) -> EmailMessage:
    """Return it as a mail program reads it."""
    raw = one.as_bytes()
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def part(message: EmailMessage, kind: str) -> str:
    """Return the text of a part."""
    found = message.get_body((kind,))
    assert found is not None
    text: str = found.get_content()
    return text


def test_mail__has_the_headers_of_a_program() -> None:
    """It says that no person wrote it, and has an id by which a repeat is known."""
    found = parsed(mail())
    assert found.keys() == [*HEADERS, *REST]
    assert found["From"] == "Example <notify@example.com>"
    assert found["To"] == "ada@example.org"
    assert found["Subject"] == "Your turn"
    assert found["Date"].datetime.timestamp() == 1_900_000_000
    assert found["Message-ID"] == ID
    assert found["Auto-Submitted"] == "auto-generated"
    assert found.get_content_type() == "multipart/alternative"
    assert [one.get_content_type() for one in found.iter_parts()] == ["text/plain", "text/html"]
    assert (part(found, "plain").strip(), part(found, "html").strip()) == ("Play.", "<p>Play.</p>")


def test_mail__can_be_stopped_with_one_click() -> None:
    """RFC 8058: both headers, the URL whole, however long it is."""
    found = parsed(mail(url=URL))
    assert found.keys() == [*HEADERS, "List-Unsubscribe", "List-Unsubscribe-Post", *REST]
    assert found["List-Unsubscribe"] == f"<{URL}>"
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_id__is_that_of_the_event() -> None:
    """The same event has the same id in each attempt, another one has another."""
    assert message_id("a", "x.example") == message_id("a", "x.example")
    assert message_id("a", "x.example") != message_id("b", "x.example")


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028"])
def test_header__cannot_be_broken_out_of(line_end: str) -> None:
    """E8: what begins a line in a title or a name begins no header."""
    subject = f"a{line_end}Bcc: x@example.net{line_end}{line_end}body"
    found = parsed(mail(subject=subject, name=f"N{line_end}Bcc: y@example.net"))
    assert found.keys() == [*HEADERS, *REST]
    assert found["Subject"] == "a Bcc: x@example.net body"
    assert found["From"].addresses[0].display_name == "N Bcc: y@example.net"


@given(st.text(max_size=400), st.text(max_size=80))
def test_headers__are_what_was_given(subject: str, name: str) -> None:
    """Any text is a subject and a name, in one line, without what cannot be seen."""
    found = parsed(mail(subject=subject, name=name))
    assert found.keys() == [*HEADERS, *REST]
    assert one_line(found["Subject"] or "") == one_line(one_line(subject)[:250])
    (sender,) = found["From"].addresses
    assert sender.addr_spec == "notify@example.com"


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_parts__are_what_was_given(text: str, html: str) -> None:
    """Any text survives, but for how its lines end and for what is no character."""
    found = parsed(mail(text=text, html=html))
    for kind, given_text in (("plain", text), ("html", html)):
        wanted = given_text.encode("utf-8", "replace").decode().splitlines()
        assert part(found, kind).splitlines() == wanted or not any(wanted)


def test_part__may_have_long_lines() -> None:
    """A line that SMTP does not carry is encoded."""
    found = parsed(mail(text="x" * 5000, html="ä" * 5000))
    assert part(found, "plain").strip() == "x" * 5000
    assert part(found, "html").strip() == "ä" * 5000
