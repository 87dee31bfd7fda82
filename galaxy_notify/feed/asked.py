"""What callers of a feed ask for, checked: users, ids, filters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.ids import NAME, RECIPIENT, first_part, parse_target
from galaxy_notify.model.json_data import kind_of, printable
from galaxy_notify.model.preference import SEVERITIES
from galaxy_notify.model.refusals import WANTED, shown

#: The id of a notification or of an item, or several; an event id stands for its notification.
Ids: TypeAlias = str | int | Iterable[str | int]

#: Items of a page: usual, and at most.
LIMIT: Final = 50
LIMIT_MAX: Final = 200
#: Ids of one statement.
IDS_MAX: Final = 500
_FIELDS: Final = ("ids", "all", "until")
_ROW: Final = re.compile("[1-9][0-9]{0,17}")
_USER: Final = re.compile(RECIPIENT)
_TYPE: Final = re.compile(NAME)


class Selection(NamedTuple):
    """Which items of a user are meant: those with these *ids*, or all where it is None.

    All ends with the notification *until* and those below it in the list; without it, with the
    newest one that is there now.
    """

    ids: Sequence[str] | None
    until: str | None = None

    @property
    def only(self) -> str | None:
        """The one item that is named; None where none or several are."""
        if self.ids is None:
            return self.until
        return self.ids[0] if len(self.ids) == 1 else None


def checked_user(user: object, at: str = "user") -> str:
    """Return the name of a user; raise `InvalidQuery` if it is invalid."""
    if isinstance(user, str) and _USER.fullmatch(user):
        return user
    raise InvalidQuery(at, f"{WANTED['user']}, not {shown(user)}")


def checked_users(users: Iterable[object] | None) -> Sequence[str] | None:
    """Return the names of users, each once; None stays. Raises `InvalidQuery`."""
    if users is None:
        return None
    if isinstance(users, str | bytes | Mapping):
        raise InvalidQuery("users", f"must be a list, not {kind_of(users)}")
    return list(
        dict.fromkeys(checked_user(user, f"users[{place}]") for place, user in enumerate(users))
    )


def checked_id(given: object, at: str = "notification_id") -> str:
    """Return the id of a whole notification; raise `InvalidQuery` if it is invalid."""
    target = parse_target(given) if isinstance(given, str) else None
    if target is None:
        raise InvalidQuery(at, f"must be the id of a notification, not {shown(given)}")
    return first_part(target.notification_id)


def selection(ids: Ids | None, everything: bool, until: str | None) -> Selection:
    """Return what *ids*, or *everything* and *until*, select; raise `InvalidQuery`."""
    if (ids is None) != bool(everything):
        raise InvalidQuery("ids", "give either ids, or all")
    if ids is None:
        return Selection(None, None if until is None else checked_id(until, "until"))
    if until is not None:
        raise InvalidQuery("until", "goes with all")
    if isinstance(ids, bytes | Mapping):
        raise InvalidQuery("ids", f"must be a list, not {kind_of(ids)}")
    given = [ids] if isinstance(ids, str | int) else ids
    named = (_item_id(one, f"ids[{place}]") for place, one in enumerate(given))
    return Selection(list(dict.fromkeys(named)))


def selected(document: Any) -> Selection:
    """Return what the JSON object of a mark selects; raise `InvalidQuery`, which names the field.

    It has ``ids``, at most 500, or ``all``, which is true, and perhaps ``until``; null is as if a
    field were not there.
    """
    if not isinstance(document, dict):
        raise InvalidQuery("", f"must be an object, not {kind_of(document)}")
    for name in document:
        if name not in _FIELDS:
            raise InvalidQuery(printable(name), "unknown field")
    ids, everything, until = map(document.get, _FIELDS)
    if ids is not None and not isinstance(ids, list):
        raise InvalidQuery("ids", f"must be a list, not {kind_of(ids)}")
    if ids is not None and len(ids) > IDS_MAX:
        raise InvalidQuery("ids", f"has more than {IDS_MAX} items")
    if not isinstance(everything, bool | None):
        raise InvalidQuery("all", f"must be true, not {shown(everything)}")
    return selection(ids, bool(everything), until)


def _item_id(given: object, at: str) -> str:
    """Return the id of a notification, or that of a row, which a list has too."""
    text = str(given) if type(given) is int else given
    return text if isinstance(text, str) and _ROW.fullmatch(text) else checked_id(text, at)


def checked_limit(limit: object) -> int:
    """Return how many items a page may have; raise `InvalidQuery`."""
    if type(limit) is int and 1 <= limit <= LIMIT_MAX:
        return limit
    raise InvalidQuery("limit", f"must be a whole number from 1 to {LIMIT_MAX}, not {shown(limit)}")


def checked_types(types: str | Iterable[str]) -> Sequence[str]:
    """Return notification types to filter by; raise `InvalidQuery`."""
    given = (types,) if isinstance(types, str) else tuple(types)
    for one in given:
        if not (isinstance(one, str) and _TYPE.fullmatch(one)):
            raise InvalidQuery("type", f"{WANTED['type']}, not {shown(one)}")
    return given


def checked_severity(severity: object) -> str | None:
    """Return a severity to filter by, None for any; raise `InvalidQuery`."""
    if severity is None or (isinstance(severity, str) and severity in SEVERITIES):
        return severity
    raise InvalidQuery("severity", f"{WANTED['severity']}, not {shown(severity)}")
