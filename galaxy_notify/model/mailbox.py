"""The address of a mailbox, read strictly: it stands in SMTP commands and in headers."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LONGEST: Final = 254  # RFC 5321: a path has 256, with its angle brackets
_LOCAL: Final = re.compile(
    r"(?=.{1,64}$)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
)
_DOMAIN: Final = re.compile(
    r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE
)
_NAMED: Final = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")


class Mailbox(NamedTuple):
    """An address with the name that people see; *name* may be empty."""

    name: str
    address: str


def parse_mailbox(text: str) -> Mailbox:
    """Return the mailbox of ``ADDRESS`` or ``NAME <ADDRESS>``; raise ``ValueError``."""
    found = _NAMED.fullmatch(text.strip())
    name, address = (found["name"], found["address"]) if found else ("", text.strip())
    if not text.isprintable():
        raise ValueError("must not contain control characters")
    return Mailbox(name.strip().strip('"').strip(), smtp_address(address))


def smtp_address(address: str) -> str:
    """Return an address as SMTP carries it, its domain in ASCII; raise ``ValueError``.

    What stands before the ``@`` is ASCII, without quotes: few servers take anything else.
    """
    local, at, domain = address.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode() if not domain.isascii() else domain
    except UnicodeError:
        ascii_domain = ""
    found = f"{local}@{ascii_domain}"
    if not (at and _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(ascii_domain)):
        raise ValueError("must be an e-mail address such as ada@example.com")
    if len(found) > _LONGEST:
        raise ValueError(f"must be an e-mail address of {_LONGEST} characters at most")
    return found
