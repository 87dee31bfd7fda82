"""Text of other code, without the address and the secrets that it may quote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from galaxy_notify.contacts.contact import SECRET, Contact
from galaxy_notify.settings.values import MASK

#: Shorter parts of an address are words that a text has by chance.
_SHORTEST: Final = 4


def without_address(text: str, contact: Contact | None) -> str:
    """Return a text with the contact's address, and secrets of its data, masked.

    Of an e-mail address also the name before the ``@``, of a URL also what follows the host.
    """
    if contact is None:
        return text
    parts = [*_parts(contact.address), *_secrets(contact.data)]
    known = {part for part in parts if len(part) >= _SHORTEST} | {contact.address} - {""}
    pattern = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return re.sub(pattern, MASK, text, flags=re.IGNORECASE) if pattern else text


def _parts(address: str) -> Iterator[str]:
    if "://" in address:
        try:
            found = urlsplit(address)
        except ValueError:
            return
        yield found.netloc.rpartition("@")[0]
        yield found.path
        yield found.query
    else:
        yield address.rpartition("@")[0]


def _secrets(data: Any, is_secret: bool = False) -> Iterator[str]:
    """Yield every text below a name of `SECRET`."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from _secrets(value, is_secret or name.lower() in SECRET)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _secrets(value, is_secret)
    elif is_secret and isinstance(data, str):
        yield data
