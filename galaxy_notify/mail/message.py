"""An e-mail as bytes: headers that cannot be broken out of, a text and an HTML part."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from email.header import Header
from email.utils import formatdate
from typing import Final, NamedTuple

from galaxy_notify.model.mailbox import Mailbox

#: RFC 5322 allows 998 octets a line; what is longer, or not ASCII, is encoded.
_LONGEST_LINE: Final = 900
_LONGEST_SUBJECT: Final = 250
_WIDTH: Final = 76
_ID_DIGITS: Final = 32


class Mail(NamedTuple):
    """One e-mail to one recipient. *unsubscribe_url* may be empty; *date_s* is in Unix seconds."""

    sender: Mailbox
    recipient: str
    subject: str
    text: str
    html: str
    message_id: str
    date_s: float
    unsubscribe_url: str = ""

    def as_bytes(self) -> bytes:
        """Return the message as SMTP carries it: ASCII, lines of at most 998 octets."""
        boundary = f"=_{self.message_id[1 : 1 + _ID_DIGITS]}"
        headers = {
            "From": _mailbox_header(self.sender),
            "To": f"<{self.recipient}>",
            "Subject": _header(one_line(self.subject)[:_LONGEST_SUBJECT], len("Subject: ")),
            "Date": formatdate(self.date_s),
            "Message-ID": self.message_id,
            # RFC 3834: no out-of-office reply comes back.
            "Auto-Submitted": "auto-generated",
            **self._unsubscribe_headers(),
            "MIME-Version": "1.0",
            "Content-Type": f'multipart/alternative; boundary="{boundary}"',
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        parts = [("plain", self.text), ("html", self.html)]
        body = "".join(f"--{boundary}\r\n{_part(kind, text)}" for kind, text in parts)
        return f"{head}\r\n{body}--{boundary}--\r\n".encode("ascii")

    def _unsubscribe_headers(self) -> dict[str, str]:
        """Return what makes the mail program offer a button of its own, RFC 2369 and RFC 8058."""
        if not self.unsubscribe_url:
            return {}
        return {
            "List-Unsubscribe": f"<{self.unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }


def message_id(event_id: str, domain: str) -> str:
    """Return the Message-ID of an event, the same in each attempt: by it a repeat is known."""
    digest = hashlib.sha256(event_id.encode()).hexdigest()[:_ID_DIGITS]
    return f"<{digest}@{domain}>"


def one_line(text: str) -> str:
    """Return a text as one line of printable characters; nothing in it can begin a header."""
    spaced = " ".join(text.split())
    return "".join(sign for sign in spaced if sign.isprintable())


def _mailbox_header(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return f"<{mailbox.address}>"
    name = one_line(mailbox.name)
    if not name.isascii():
        return f"{_header(name, len('From: '))} <{mailbox.address}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{mailbox.address}>'


def _header(text: str, begin: int) -> str:
    """Return a value of a header; *begin* is how much of its first line is taken."""
    if text.isascii() and len(text) + begin <= _WIDTH and "=?" not in text:
        return text
    return Header(text, "utf-8", _WIDTH, continuation_ws=" ").encode(linesep="\r\n")


def _part(kind: str, text: str) -> str:
    """Return a part with its headers."""
    lines = text.splitlines()
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\n'
    if text.isascii() and all(len(line) <= _LONGEST_LINE for line in lines):
        body = "\r\n".join(lines)
        return f"{head}Content-Transfer-Encoding: 7bit\r\n\r\n{body}\r\n"
    encoded = b64encode("\r\n".join(lines).encode("utf-8", "replace")).decode()
    rows = [encoded[at : at + _WIDTH] for at in range(0, len(encoded), _WIDTH)]
    body = "\r\n".join(rows)
    return f"{head}Content-Transfer-Encoding: base64\r\n\r\n{body}\r\n"
