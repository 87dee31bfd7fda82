"""All preferences of one user, as they are stored and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any, Final

from galaxy_notify.model.ids import NAME
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.preference import (
    EVERY_TYPE,
    IN_APP_OF,
    NO,
    QUIET,
    SILENCED,
    YES,
    Preference,
    decode_preference,
    decode_quiet,
    encode,
)
from galaxy_notify.model.quiet import Quiet

#: The most fields of one user: one or two for each type and for every type, and two more.
MOST_FIELDS: Final = 256
_OF_TYPE: Final = "type:"
_FIELD_OF_TYPE: Final = re.compile(f"{_OF_TYPE}{NAME}")
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class UserPreferences:
    """The preferences of a user for every type, for single types, and quiet hours.

    *unreadable* names the stored fields that are invalid. *digest* is that of all that is stored:
    it changes with every change. It is empty for what was not read, or is too much to be.
    """

    of_every_type: Preference | None = None
    of_types: Mapping[str, Preference] = field(default_factory=dict)
    silenced: bool = False
    quiet: Quiet | None = None
    unreadable: tuple[str, ...] = ()
    digest: str = field(default="", compare=False)

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> UserPreferences:
        """Return the preferences in a user's hash; invalid fields count as missing."""
        wishes: dict[str, Preference] = {}
        others: dict[str, Any] = {}
        unreadable: list[str] = []
        for raw_name, raw in sorted(fields.items()):
            name = raw_name.decode("utf-8", "replace")
            value = _read(name, raw)
            if value is None:
                unreadable.append(printable(name, _LONGEST_NAME))
            elif name.startswith(IN_APP_OF):
                name = name.removeprefix(IN_APP_OF)
                wishes[name] = wishes.get(name, Preference())._replace(in_app=bool(value))
            elif isinstance(value, Preference):
                said = wishes.get(name, value).in_app
                wishes[name] = value._replace(in_app=said)
            else:
                others[name] = value
        general = wishes.pop(EVERY_TYPE, None)
        types = {name.removeprefix(_OF_TYPE): wishes[name] for name in sorted(wishes)}
        return cls(
            general,
            types,
            SILENCED in others,
            others.get(QUIET),
            tuple(unreadable),
            digest_of(fields),
        )

    def to_fields(self) -> dict[str, bytes]:
        """Return the fields of the user's hash."""
        given = fields_of(None, self.of_every_type)
        for type_name, wish in self.of_types.items():
            given |= fields_of(type_name, wish)
        fields = {name: value for name, value in given.items() if value}
        if self.silenced:
            fields[SILENCED] = YES
        if self.quiet is not None:
            fields[QUIET] = encode(self.quiet)
        return fields

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that a program reads and an import takes."""
        return {
            EVERY_TYPE: self.of_every_type and self.of_every_type.as_json(),
            "types": {name: wish.as_json() for name, wish in self.of_types.items()},
            SILENCED: self.silenced,
            QUIET: self.quiet and self.quiet.as_json(),
        }


def digest_of(fields: Mapping[bytes, bytes]) -> str:
    """Return the digest of stored fields, in hexadecimal; `preference_set` makes the same one."""
    each = (_sha1(b"%d:%s%s" % (len(name), name, value)) for name, value in fields.items())
    return _sha1("".join(sorted(each)).encode())


def field_of(type_name: str | None) -> str:
    """Return the field that holds the preference of a type, or that of every type."""
    return EVERY_TYPE if type_name is None else f"{_OF_TYPE}{type_name}"


def fields_of(type_name: str | None, wish: Preference | None) -> dict[str, bytes]:
    """Return all fields of the preference of a type, or of every type; empty: to remove."""
    name, (channels, least, in_app) = field_of(type_name), wish or Preference()
    said = b"" if in_app is None else YES if in_app else NO
    is_empty = channels is None and least is None
    return {
        name: b"" if is_empty else encode(Preference(channels, least)),
        f"{IN_APP_OF}{name}": said,
    }


def _sha1(text: bytes) -> str:
    # All that a script can compute; only its user could make two preferences with one digest.
    return sha1(text, usedforsecurity=False).hexdigest()


def _read(name: str, raw: bytes) -> Preference | Quiet | bool | None:
    if name == SILENCED:
        return True if raw == YES else None
    if name == QUIET:
        return decode_quiet(raw)
    field_name = name.removeprefix(IN_APP_OF)
    if field_name != EVERY_TYPE and not _FIELD_OF_TYPE.fullmatch(field_name):
        return None
    if field_name != name:
        return raw == YES if raw in (YES, NO) else None
    return decode_preference(raw)
