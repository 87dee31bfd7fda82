"""Contacts as people and programs write them, checked strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.webhook_data import check_webhook_data
from galaxy_notify.errors import InvalidContact
from galaxy_notify.model.json_data import UnfitData, copy_of, is_carried, kind_of, printable
from galaxy_notify.model.mailbox import smtp_address
from galaxy_notify.model.refusals import shown
from galaxy_notify.redis_state.contacts import MOST_CONTACTS
from galaxy_notify.settings.channels import ChannelSettings

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FIELDS: Final = ("channel", "address", "id", "data")
_LONGEST_ADDRESS: Final = 2048
_LONGEST_DATA: Final = 8192


def read_contacts(
    value: object, channels: Mapping[str, ChannelSettings], channel: str = ""
) -> list[NewContact]:
    """Return the contacts of a list of objects.

    *channels* are the external ones; one without a channel is of *channel*, or of the only one.
    Raises `InvalidContact` with the first invalid field.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidContact("", f"must be a list of contacts, not {kind_of(value)}")
    found: list[NewContact] = []
    places: dict[tuple[str, str, str], int] = {}
    numbers: dict[str, int] = {}
    for place, item in enumerate(value):
        contact = read_contact(item, channels, f"[{place}].", channel)
        numbers[contact.channel] = numbers.get(contact.channel, 0) + 1
        if numbers[contact.channel] > MOST_CONTACTS:
            message = f"more than {MOST_CONTACTS} contacts of {contact.channel}"
            raise InvalidContact(f"[{place}]", message, "too_large")
        for name, given in (("address", contact.address), ("id", contact.id)):
            first = places.setdefault((contact.channel, name, given), place)
            if given and first != place:
                raise InvalidContact(f"[{place}].{name}", f"repeats that of [{first}]", "conflict")
        found.append(contact)
    return found


def read_contact(
    value: object, channels: Mapping[str, ChannelSettings], at: str = "", channel: str = ""
) -> NewContact:
    """Return one contact; raise `InvalidContact` with the field, *at* in front of it."""
    if not isinstance(value, Mapping):
        raise InvalidContact(at.rstrip("."), f"must be an object, not {kind_of(value)}")
    for name in value:
        if name not in _FIELDS:
            raise InvalidContact(f"{at}{printable(name)}", f"is not one of {', '.join(_FIELDS)}")
    named = check_channel(value.get("channel", channel or _only(channels)), channels, at)
    address = _address(value.get("address"), f"{at}address")
    data = _data(value.get("data"), f"{at}data")
    if channels[named].kind == "webhook":
        _check_url(address, f"{at}address")
        check_webhook_data(data, f"{at}data")
    elif channels[named].kind == "email":
        address = _mailbox(address, f"{at}address")
    name = value.get("id") or ""
    if name and not (isinstance(name, str) and _ID.fullmatch(name)):
        raise InvalidContact(f"{at}id", f"must match {_ID.pattern}, not {shown(name)}")
    return NewContact(named, address, name, data)


def check_channel(name: object, channels: Mapping[str, ChannelSettings], at: str = "") -> str:
    """Return the name of an external channel; raise `InvalidContact`."""
    if isinstance(name, str) and name in channels:
        return name
    known = ", ".join(channels) or "none"
    what = "must be given" if name in (None, "") else f"must be an external one, not {shown(name)}"
    raise InvalidContact(f"{at}channel", f"{what} (known: {known})")


def _only(channels: Mapping[str, ChannelSettings]) -> str:
    return next(iter(channels)) if len(channels) == 1 else ""


def _address(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise InvalidContact(at, f"must be text, not {kind_of(value)}")
    if not 1 <= len(value) <= _LONGEST_ADDRESS:
        raise InvalidContact(at, f"must be 1 to {_LONGEST_ADDRESS} characters", "too_large")
    if value != value.strip() or not value.isprintable() or not is_carried(value):
        message = "must not begin or end with spaces, or contain control characters"
        raise InvalidContact(at, message)
    return value


def _mailbox(address: str, at: str) -> str:
    try:
        return smtp_address(address)
    except ValueError as error:
        raise InvalidContact(at, str(error)) from None


def _check_url(address: str, at: str) -> None:
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or " " in address:
        raise InvalidContact(at, "must be a URL such as https://example.com/hook")
    if "@" in parts.netloc or parts.fragment:
        raise InvalidContact(at, "must be a URL without user, password and fragment")


def _data(value: object, at: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidContact(at, f"must be an object, not {kind_of(value)}")
    try:
        copied = copy_of(value)
        length = len(json.dumps(copied, allow_nan=False))
    except UnfitData as unfit:
        raise InvalidContact(f"{at}{unfit.path}", str(unfit)) from None
    if length > _LONGEST_DATA:
        raise InvalidContact(at, f"must be {_LONGEST_DATA} bytes of JSON at most", "too_large")
    return copied
