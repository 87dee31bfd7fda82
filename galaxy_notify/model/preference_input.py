"""Preferences as people and programs write them, checked strictly."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from galaxy_notify.errors import InvalidPreference
from galaxy_notify.model.ids import NAME, RECIPIENT
from galaxy_notify.model.json_data import kind_of, printable
from galaxy_notify.model.preference import (
    EVERY_TYPE,
    MOST_CHANNELS,
    QUIET,
    SEVERITIES,
    SILENCED,
    Preference,
)
from galaxy_notify.model.quiet import Quiet, is_zone, minute_of
from galaxy_notify.model.refusals import WANTED, shown, unknown_channel
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences

_RECIPIENT: Final = re.compile(RECIPIENT)
_NAME: Final = re.compile(NAME)
_DOCUMENT: Final = ("user", "preferences")
_PARTS: Final = (EVERY_TYPE, "types", SILENCED, QUIET)
#: The most types with a preference of their own for one user.
MOST_TYPES: Final = MOST_FIELDS - len(_PARTS) + 1
_WISH: Final = ("channels", "min_severity", "in_app")
_HOURS: Final = ("from", "to", "zone")


def check_user(user: object) -> str:
    """Return the user; raise `InvalidPreference` if the name is invalid."""
    if isinstance(user, str) and _RECIPIENT.fullmatch(user):
        return user
    raise InvalidPreference("user", f"{WANTED['recipients']}, not {shown(user)}")


def check_type(name: object, at: str = "type") -> str:
    """Return the notification type; raise `InvalidPreference` if the name is invalid."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidPreference(at, f"{WANTED['type']}, not {shown(name)}")


def check_wish(
    channels: object,
    min_severity: object,
    known: Collection[str],
    at: str = "",
    in_app: object = None,
) -> Preference:
    """Return a preference; raise `InvalidPreference` if it is empty or invalid."""
    if channels is None and min_severity is None and in_app is None:
        raise InvalidPreference(at.rstrip("."), "needs channels, min_severity or in_app")
    if in_app is not None:
        in_app = _flag(in_app, f"{at}in_app")
    if min_severity is not None and min_severity not in SEVERITIES:
        wanted = f"{WANTED['severity']}, not {shown(min_severity)}"
        raise InvalidPreference(f"{at}min_severity", wanted)
    wanted_channels = None if channels is None else _channels(channels, known, f"{at}channels")
    least = None if min_severity is None else str(min_severity)
    return Preference(wanted_channels, least, in_app)


def check_quiet(start: object, end: object, zone: object, at: str = "quiet.") -> Quiet:
    """Return quiet hours; raise `InvalidPreference` if they are invalid."""
    first, last = _minute(start, f"{at}from"), _minute(end, f"{at}to")
    if isinstance(zone, str) and is_zone(zone):
        return Quiet(first, last, zone)
    wanted = 'must be a time zone such as "Europe/Berlin"'
    raise InvalidPreference(f"{at}zone", f"{wanted}, not {shown(zone)}")


def read_document(value: object, known: Collection[str]) -> tuple[str, UserPreferences]:
    """Return a user and all preferences of the user, from one exported document.

    Raises `InvalidPreference` with the first invalid field.
    """
    document = _object(value, "", _DOCUMENT)
    user = check_user(_required(document, "user"))
    wanted = _object(_required(document, "preferences"), "preferences", _PARTS)
    return user, UserPreferences(
        _wish(wanted.get(EVERY_TYPE), known, f"preferences.{EVERY_TYPE}"),
        _types(wanted.get("types"), known),
        _flag(wanted.get(SILENCED), f"preferences.{SILENCED}"),
        _quiet(wanted.get(QUIET), f"preferences.{QUIET}"),
    )


def _channels(value: object, known: Collection[str], at: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence | set | frozenset):
        raise InvalidPreference(at, f"must be a list, not {kind_of(value)}")
    if len(value) > MOST_CHANNELS:
        message = f"{len(value)} channels, the limit is {MOST_CHANNELS}"
        raise InvalidPreference(at, message, "too_large")
    for index, channel in enumerate(value):
        if not isinstance(channel, str):
            raise InvalidPreference(f"{at}[{index}]", f"must be text, not {kind_of(channel)}")
        if channel not in known:
            raise InvalidPreference(f"{at}[{index}]", unknown_channel(printable(channel), known))
    return tuple(sorted(set(value)))


def _minute(value: object, at: str) -> int:
    minute = minute_of(value)
    if minute is None:
        wanted = 'must be a time such as "22:00"'
        raise InvalidPreference(at, f"{wanted}, not {shown(value)}")
    return minute


def _object(value: object, at: str, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidPreference(at, f"must be an object, not {kind_of(value)}")
    for name in value:
        if name not in known:
            raise InvalidPreference(f"{at}.{printable(name)}".lstrip("."), "unknown field")
    return value


def _required(fields: Mapping[str, Any], name: str) -> object:
    if name not in fields:
        raise InvalidPreference(name, "is required")
    return fields[name]


def _wish(value: object, known: Collection[str], at: str) -> Preference | None:
    if value is None:
        return None
    fields = _object(value, at, _WISH)
    channels, least = fields.get("channels"), fields.get("min_severity")
    return check_wish(channels, least, known, f"{at}.", fields.get("in_app"))


def _types(value: object, known: Collection[str]) -> dict[str, Preference]:
    at = "preferences.types"
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidPreference(at, f"must be an object, not {kind_of(value)}")
    if len(value) > MOST_TYPES:
        message = f"{len(value)} types, the limit is {MOST_TYPES}"
        raise InvalidPreference(at, message, "too_large")
    preferences = {
        name: _wish(wish, known, f"{at}.{check_type(name, at)}") for name, wish in value.items()
    }
    return {name: wish for name, wish in preferences.items() if wish is not None}


def _flag(value: object, at: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise InvalidPreference(at, f"must be true or false, not {kind_of(value)}")
    return bool(value)


def _quiet(value: object, at: str) -> Quiet | None:
    if value is None:
        return None
    fields = _object(value, at, _HOURS)
    return check_quiet(fields.get("from"), fields.get("to"), fields.get("zone"), f"{at}.")
