"""What the contact of a webhook holds besides its URL: secrets, types, and headers of its owner."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.errors import InvalidContact
from galaxy_notify.model.json_data import kind_of, printable
from galaxy_notify.model.refusals import shown
from galaxy_notify.webhooks.signature import check_secret

_NAMES: Final = ("enabled_at_ms", "headers", "secrets", "types")
_MOST_TYPES: Final = 100
_MOST_SECRETS: Final = 4
_MOST_HEADERS: Final = 20
_LONGEST_VALUE: Final = 4096
#: A type, or how types begin, with ``*`` behind it.
_TYPES: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}|(?:[A-Za-z0-9][A-Za-z0-9._-]{0,62})?\*"
)
_HEADER: Final = re.compile(r"X-[A-Za-z0-9-]{1,100}|Authorization", re.IGNORECASE)
_HEADER_VALUE: Final = re.compile(r"[!-~](?:[\t -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A secret of an endpoint; one that was replaced is used until *until_ms*."""

    secret: str = field(repr=False)
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class WebhookData:
    """The data of a webhook. Its text shows no secret.

    *types* are the types that it wants, each a name or a beginning with ``*`` behind it; without
    any it wants all. *headers* are ``X-…`` and ``Authorization``. *enabled_at_ms* is when it was
    enabled for the last time after it had been disabled.
    """

    types: tuple[str, ...] = ()
    secrets: tuple[WebhookSecret, ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    enabled_at_ms: int = 0

    def wants(self, kind: str) -> bool:
        """Return whether events of this type are sent to it."""
        return not self.types or any(
            kind.startswith(one[:-1]) if one.endswith("*") else kind == one for one in self.types
        )

    def valid_secrets(self, now_ms: int) -> list[str]:
        """Return the secrets with which a request is signed now, in order; none: it is not sent."""
        return [one.secret for one in self.secrets if one.until_ms is None or now_ms < one.until_ms]

    def as_data(self) -> dict[str, Any]:
        """Return the ``data`` of the contact."""
        secrets = [{"secret": one.secret, "until_ms": one.until_ms} for one in self.secrets]
        found: dict[str, Any] = {"types": list(self.types), "secrets": secrets}
        if self.headers:
            found["headers"] = dict(self.headers)
        if self.enabled_at_ms:
            found["enabled_at_ms"] = self.enabled_at_ms
        return found


def read_webhook_data(data: Mapping[str, Any], at: str = "data") -> WebhookData:
    """Return what the data of a contact says; raise `InvalidContact` with the field, *at* before.

    Other names than those of this version are passed over. There may be no secret.
    """
    return WebhookData(
        _read_types(data.get("types"), f"{at}.types"),
        _read_secrets(data.get("secrets"), f"{at}.secrets"),
        _read_headers(data.get("headers"), f"{at}.headers"),
        _read_time(data.get("enabled_at_ms"), f"{at}.enabled_at_ms") or 0,
    )


def check_webhook_data(data: Mapping[str, Any], at: str = "data") -> WebhookData:
    """Return the data that a person or a program gives a webhook; raise `InvalidContact`.

    It has a secret, and no name that is unknown here.
    """
    for name in data:
        if name not in _NAMES:
            raise InvalidContact(f"{at}.{printable(name)}", f"is not one of {', '.join(_NAMES)}")
    found = read_webhook_data(data, at)
    if not found.secrets:
        raise InvalidContact(
            f"{at}.secrets", "a webhook is never sent unsigned: must hold a secret"
        )
    return found


def _read_types(value: object, at: str) -> tuple[str, ...]:
    found = _list(value, at, _MOST_TYPES)
    for place, one in enumerate(found):
        if not (isinstance(one, str) and _TYPES.fullmatch(one)):
            message = f"must be a type, or how types begin and *, not {shown(one)}"
            raise InvalidContact(f"{at}[{place}]", message)
    return tuple(found)


def _read_secrets(value: object, at: str) -> tuple[WebhookSecret, ...]:
    found = _list(value, at, _MOST_SECRETS)
    return tuple(_read_secret(one, f"{at}[{place}]") for place, one in enumerate(found))


def _read_secret(value: object, at: str) -> WebhookSecret:
    if not isinstance(value, Mapping):
        raise InvalidContact(at, f"must be an object, not {kind_of(value)}")
    for name in value:
        if name not in ("secret", "until_ms"):
            raise InvalidContact(f"{at}.{printable(name)}", "is not one of secret, until_ms")
    secret = value.get("secret")
    if not isinstance(secret, str):
        raise InvalidContact(f"{at}.secret", f"must be text, not {kind_of(secret)}")
    try:
        check_secret(secret)
    except ValueError as error:
        raise InvalidContact(f"{at}.secret", str(error)) from None
    return WebhookSecret(secret, _read_time(value.get("until_ms"), f"{at}.until_ms"))


def _read_headers(value: object, at: str) -> dict[str, str]:
    """Return the headers of the owner.

    They are ``X-…`` and ``Authorization`` only, so they replace no other header, and printable
    ASCII, so they add none.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidContact(at, f"must be an object, not {kind_of(value)}")
    if len(value) > _MOST_HEADERS:
        raise InvalidContact(at, f"at most {_MOST_HEADERS} are allowed", "too_large")
    for name, text in value.items():
        if not (isinstance(name, str) and _HEADER.fullmatch(name)):
            raise InvalidContact(at, "only X-… and Authorization are allowed")
        is_text = isinstance(text, str) and len(text) <= _LONGEST_VALUE
        if not (is_text and _HEADER_VALUE.fullmatch(text)):
            raise InvalidContact(f"{at}.{name}", "must be 1 to 4096 printable ASCII characters")
    if len({name.lower() for name in value}) < len(value):
        raise InvalidContact(at, "a name is there twice")
    return dict(value)


def _read_time(value: object, at: str) -> int | None:
    if value is None or (type(value) is int and value >= 0):
        return value
    raise InvalidContact(at, f"must be milliseconds since 1970, not {shown(value)}")


def _list(value: object, at: str, most: int) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidContact(at, f"must be a list, not {kind_of(value)}")
    if len(value) > most:
        raise InvalidContact(at, f"must have {most} entries at most", "too_large")
    return value
