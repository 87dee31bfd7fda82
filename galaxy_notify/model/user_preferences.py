"""All preferences of one user, as they are stored and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.model.ids import NAME
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.preference import (
    EVERY_TYPE,
    QUIET,
    SILENCED,
    YES,
    Preference,
    decode_preference,
    decode_quiet,
    encode,
)
from galaxy_notify.model.quiet import Quiet

#: The most fields of one user: one for each type, and three more.
MOST_FIELDS: Final = 256
_OF_TYPE: Final = "type:"
_FIELD_OF_TYPE: Final = re.compile(f"{_OF_TYPE}{NAME}")
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class UserPreferences:
    """The preferences of a user for every type, for single types, and quiet hours.

    *unreadable* names the stored fields that are invalid.
    """

    of_every_type: Preference | None = None
    of_types: Mapping[str, Preference] = field(default_factory=dict)
    silenced: bool = False
    quiet: Quiet | None = None
    unreadable: tuple[str, ...] = ()

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> UserPreferences:
        """Return the preferences in a user's hash; invalid fields count as missing."""
        types: dict[str, Preference] = {}
        others: dict[str, Any] = {}
        unreadable: list[str] = []
        for raw_name, raw in sorted(fields.items()):
            name = raw_name.decode("utf-8", "replace")
            value = _read(name, raw)
            if value is None:
                unreadable.append(printable(name, _LONGEST_NAME))
            elif isinstance(value, Preference) and name != EVERY_TYPE:
                types[name.removeprefix(_OF_TYPE)] = value
            else:
                others[name] = value
        general, quiet = others.get(EVERY_TYPE), others.get(QUIET)
        return cls(general, types, SILENCED in others, quiet, tuple(unreadable))

    def to_fields(self) -> dict[str, bytes]:
        """Return the fields of the user's hash."""
        fields = {field_of(name): encode(wish) for name, wish in self.of_types.items()}
        if self.of_every_type is not None:
            fields[EVERY_TYPE] = encode(self.of_every_type)
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


def field_of(type_name: str | None) -> str:
    """Return the field that holds the preference of a type, or that of every type."""
    return EVERY_TYPE if type_name is None else f"{_OF_TYPE}{type_name}"


def _read(name: str, raw: bytes) -> Preference | Quiet | bool | None:
    if name == SILENCED:
        return True if raw == YES else None
    if name == QUIET:
        return decode_quiet(raw)
    if name == EVERY_TYPE or _FIELD_OF_TYPE.fullmatch(name):
        return decode_preference(raw)
    return None
