"""What an e-mail is made of, and where it goes."""

from __future__ import annotations

import asyncio
import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.email_kind import EmailKind
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.smtp_sender import Envelope, SmtpSender, SmtpServer
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.mail.templates import Templates
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.settings.channel_kinds import EmailChannel
from tests.support.settings import written

SETTINGS = EmailChannel(host="smtp.example.com", sender="Example <notify@example.com>")
EVENT = LiveEvent(
    f"{'0a' * 16}.2/mail:u1",
    "game.turn",
    "critical",
    "Grüße",
    "Ada",
    {"turn": 1},
    1_900_000_000_000,
)
CONTACT = Contact("c1", "mail", "email", "ada@bücher.example", {}, 1)


class Kept(SmtpSender):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__(SmtpServer("h", 1, "", lambda: None))
        self.envelopes: list[Envelope] = []

    async def send(self, envelope: Envelope, deadline: float) -> Attempt:
        """Keep it."""
        del deadline
        self.envelopes.append(envelope)
        return Attempt("delivered")

    @property
    def messages(self) -> list[EmailMessage]:
        """Return what was sent, as it is read."""
        policy = email.policy.default
        found = [email.message_from_bytes(one.content, policy=policy) for one in self.envelopes]
        return [one for one in found if isinstance(one, EmailMessage)]


def sent(
    *contacts: Contact, event: LiveEvent = EVENT, folder: str = "", linked: bool = False
) -> tuple[list[Attempt], Kept]:
    """Send an event to contacts."""

    def link(place: ContactPlace) -> str:
        return f"https://example.com/u?{place.user}.{place.channel}.{place.id}"

    async def scenario() -> tuple[list[Attempt], Kept]:
        kept = Kept()
        kind = EmailKind(SETTINGS, Templates(folder), kept, link if linked else None)
        targets = kind.targets(contacts, event)
        deliveries = [Delivery("mail", "u1", event, one.contact, "lobby") for one in targets]
        made = [
            await kind.send(delivery, target, 0.0)
            for delivery, target in zip(deliveries, targets, strict=True)
        ]
        await kind.close()
        return made, kept

    return asyncio.run(scenario())


def test_targets__share_the_limits_of_the_server() -> None:
    """All addresses are reached by one server, whose rest is that of all."""

    async def scenario() -> None:
        kind = EmailKind(SETTINGS, Templates(""), Kept())
        other = replace(CONTACT, id="c2")
        host = "smtp.example.com:587"
        assert kind.targets([CONTACT, other], EVENT) == [Target(CONTACT, host), Target(other, host)]
        await kind.close()

    asyncio.run(scenario())


def test_mail__is_the_notification() -> None:
    """Its text and its look; the domain of the address is in ASCII."""
    (attempt,), kept = sent(CONTACT)
    assert attempt.outcome == "delivered"
    (envelope,), (message,) = kept.envelopes, kept.messages
    assert envelope[:2] == ("notify@example.com", "ada@xn--bcher-kva.example")
    assert message["Subject"] == "Grüße"
    assert message["From"] == "Example <notify@example.com>"
    assert message["Date"].datetime.timestamp() == EVENT.created_at_ms / 1000
    assert message["List-Unsubscribe"] is None
    html = message.get_body(("html",))
    assert html is not None
    assert "#e5484d" in html.get_content()


def test_mail__has_the_same_id_each_time() -> None:
    """Another address of the user has a message of its own, and so has another event."""
    other = replace(CONTACT, id="c2")
    _, kept = sent(CONTACT, CONTACT, other)
    first, again, second = (one["Message-ID"] for one in kept.messages)
    assert first == again
    assert first != second
    _, later = sent(CONTACT, event=EVENT._replace(event_id=f"{'0a' * 16}.2/mail:u1#2"))
    assert later.messages[0]["Message-ID"] != first


def test_mail__has_the_link_of_its_contact() -> None:
    """In the headers and in both parts."""
    _, kept = sent(CONTACT, linked=True)
    (message,) = kept.messages
    assert message["List-Unsubscribe"] == "<https://example.com/u?u1.mail.c1>"
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        assert "https://example.com/u?u1.mail.c1" in part.get_content()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"link": "https://example.com/g/1"}, True),
        ({"url": "https://example.com/g/1"}, True),
        ({"link": 7, "url": "https://example.com/g/1"}, True),
        ({"link": "javascript:alert('https://example.com/g/1')"}, False),
        ({"link": "https://example.com/g/1 x"}, False),
        ({"link": "https://[example.com/g/1"}, False),
    ],
)
def test_link__is_one_for_a_browser(data: dict[str, Any], shown: bool) -> None:
    """A button leads nowhere but to a page."""
    _, kept = sent(CONTACT, event=EVENT._replace(data=data))
    html = kept.messages[0].get_body(("html",))
    assert html is not None
    assert ("example.com/g/1" in html.get_content()) is shown


def test_mail__that_cannot_be_made_is_permanent(tmp_path: Path) -> None:
    """A template that fails, and what a look-up of one's own returned as an address."""
    written(tmp_path / "game.turn.txt", "{{ 1 / 0 }}")
    (attempt,), kept = sent(CONTACT, folder=str(tmp_path))
    detail = "game.turn.txt: ZeroDivisionError"
    assert attempt[:3] == ("permanent", "template", detail)
    assert kept.envelopes == []
    (attempt,), kept = sent(replace(CONTACT, address="ada"))
    assert attempt[:2] == ("permanent", "invalid")
    assert kept.envelopes == []
