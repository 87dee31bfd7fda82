"""An endpoint of a user: a contact of a channel of kind webhook, as its owner sees it.

The id that it gets here names its user, so nothing else is needed to find it.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from galaxy_notify.contacts.book import UnreadableContact
from galaxy_notify.contacts.contact import Contact, mask
from galaxy_notify.contacts.webhook_data import WebhookData, read_webhook_data
from galaxy_notify.errors import InvalidContact
from galaxy_notify.model.ids import RECIPIENT

_ID_BYTES: Final = 8
#: What is shown of an endpoint that cannot be decrypted.
_NOTHING: Final = dict.fromkeys(
    (
        *("url", "types", "headers", "created_at_ms"),
        *("old_secret_until_ms", "disabled_at_ms", "disabled_reason"),
    )
)


class NewEndpoint(NamedTuple):
    """An endpoint to be added; without *types* it gets every notification of its channel."""

    user: str
    url: str
    types: Sequence[str] = ()
    headers: Mapping[str, str] = {}
    channel: str = ""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An endpoint of a user. Its text shows neither its URL nor its secrets."""

    user: str
    contact: Contact
    #: Only of one that was added, or whose secret was replaced.
    secret: str = field(default="", repr=False)

    @property
    def id(self) -> str:
        """The id of its contact."""
        return self.contact.id

    def document(self, *, masked: bool = False) -> dict[str, Any]:
        """Return what is shown of it: a secret only where it is new; *masked* hides the URL.

        *old_secret_until_ms* is how long requests are signed with a replaced secret, too.
        """
        contact, unreadable = self.contact, None
        try:
            data = read_webhook_data(contact.data)
        except InvalidContact as error:
            data, unreadable = WebhookData(), str(error)
        until = [one.until_ms for one in data.secrets if one.until_ms is not None]
        found = {
            "id": contact.id,
            "user": self.user,
            "channel": contact.channel,
            "url": mask(contact.address) if masked else contact.address,
            "types": list(data.types),
            "headers": sorted(data.headers),
            "created_at_ms": contact.created_at_ms,
            "old_secret_until_ms": max(until, default=None),
            "disabled_at_ms": contact.disabled_at_ms,
            "disabled_reason": contact.disabled_reason or None,
            "unreadable": unreadable,
        }
        return {**found, "secret": self.secret} if self.secret else found


class UserEndpoints(NamedTuple):
    """All endpoints of a user."""

    user: str
    endpoints: Sequence[WebhookEndpoint]
    unreadable: Sequence[UnreadableContact] = ()

    def documents(self, *, masked: bool = False) -> list[dict[str, Any]]:
        """Return what is shown of each; of an unreadable one its id and the reason."""
        found = [one.document(masked=masked) for one in self.endpoints]
        for one in self.unreadable:
            named = {"id": one.id, "user": self.user, "channel": one.channel}
            found.append({**named, **_NOTHING, "unreadable": one.reason})
        return sorted(found, key=lambda one: (one["channel"], one["id"]))


def endpoint_id(user: str) -> str:
    """Return a new id for an endpoint of a user, which it names; at most 188 characters."""
    named = urlsafe_b64encode(user.encode()).decode().rstrip("=")
    return f"{secrets.token_hex(_ID_BYTES)}.{named}"


def user_of(name: str) -> str:
    """Return the user that the id of an endpoint names; empty if it is an id of another form."""
    _, _, named = name.partition(".")
    try:
        user = b64decode(named + "=" * (-len(named) % 4), b"-_", validate=True).decode("ascii")
    except ValueError:
        return ""
    return user if re.fullmatch(RECIPIENT, user) else ""
