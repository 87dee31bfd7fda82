"""The section of contacts: the keys that encrypt them, or where else they are looked up."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr

from galaxy_notify.settings.values import Attribute, Section, current_text, items_of

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_KEY_BYTES: Final = 32
_FORM: Final = "must be ID:BASE64 of 32 bytes, as `galaxy-notify contacts key` prints it"


@dataclass(frozen=True, slots=True)
class ContactKey:
    """A key that encrypts contacts: its name, which is stored beside them, and its 32 bytes."""

    id: str
    secret: bytes = field(repr=False)


def parse_key(entry: str) -> ContactKey:
    """Read an entry of ``contacts.keys``; raise ``ValueError`` with the rule that it breaks."""
    name, _, text = entry.partition(":")
    try:
        secret = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not _ID.fullmatch(name) or len(secret) != _KEY_BYTES:
        raise ValueError(_FORM)
    return ContactKey(name, secret)


@lru_cache(maxsize=8)  # they are read for each notification
def _parsed(entries: tuple[str, ...]) -> tuple[ContactKey, ...]:
    keys: dict[str, ContactKey] = {}
    for place, entry in enumerate(entries, 1):
        try:
            key = parse_key(entry)
        except ValueError as error:
            raise ValueError(f"entry {place} {error}") from None
        if key.id in keys:
            raise ValueError(f"entry {place} must not repeat {key.id}")
        keys[key.id] = key
    return tuple(keys.values())


def _checked(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    _parsed(tuple(entry.get_secret_value() for entry in value))
    return value


KeyEntries: TypeAlias = Annotated[
    tuple[SecretStr, ...], Field(strict=False), AfterValidator(_checked)
]


class ContactsSettings(Section):
    """Contacts: where external channels reach users."""

    keys: KeyEntries = Field(
        (),
        description="Keys that encrypt stored contacts, as ID:BASE64 of 32 bytes; the first one "
        "encrypts, all decrypt. `galaxy-notify contacts key` creates one. Prefer the credential "
        "contacts__keys, one per line.",
    )
    lookup: Attribute = Field(
        "",
        description="Your own lookup in place of stored contacts, as module:attribute.",
    )

    _keys_file: Path | None = PrivateAttr(None)

    def current_keys(self) -> tuple[ContactKey, ...]:
        """Return the keys as they are now: a credential is read again at every call.

        What a changed credential has wrong leaves the keys as they were set.
        """
        entries = items_of(current_text(self._keys_file) or "")
        if isinstance(entries, list) and entries:
            with suppress(ValueError):
                return _parsed(tuple(map(str, entries)))
        return _parsed(tuple(entry.get_secret_value() for entry in self.keys))
