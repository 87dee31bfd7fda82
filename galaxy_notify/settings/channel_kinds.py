"""The kinds of external channels: what the section of each has beside what every channel has."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr

from galaxy_notify.model.mailbox import parse_mailbox
from galaxy_notify.settings.channels import ChannelSettings, Network, Pauses, Ports
from galaxy_notify.settings.values import Attribute, current_password, is_attribute, number

_MOST_URLS: Final = 20
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
_POINT_BYTES: Final = 65
_SCALAR_BYTES: Final = 32


def _host(value: str) -> str:
    if value and not _HOST.fullmatch(value):
        raise ValueError("must be the name or address of a host, without a port, in ASCII")
    return value


def _sender(value: str) -> str:
    if value:
        parse_mailbox(value)
    return value


def _public_url(value: str) -> str:
    if not value:
        return value
    try:
        parts = urlsplit(value)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or "@" in value or "?" in value or "#" in value or not _is_plain(value):
        raise ValueError("must be a URL such as https://notify.example.com, without a query")
    return value.rstrip("/")


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def _subject(value: str) -> str:
    is_mail = value.startswith("mailto:") and "@" in value
    is_page = value.startswith("https://") and len(value) > len("https://")
    if value and not ((is_mail or is_page) and _is_plain(value)):
        raise ValueError("must be mailto:ADDRESS or an https URL")
    return value


def _is_key(value: str, length: int, begin: bytes = b"") -> bool:
    try:
        raw = urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        return False
    return len(raw) == length and raw.startswith(begin)


def _public_key(value: str) -> str:
    if value and not _is_key(value, _POINT_BYTES, b"\4"):
        raise ValueError("must be a key as `galaxy-notify webpush keys` prints it")
    return value


def _private_key(value: SecretStr | None) -> SecretStr | None:
    if value and value.get_secret_value() and not _is_key(value.get_secret_value(), _SCALAR_BYTES):
        raise ValueError("must be a key as `galaxy-notify webpush keys` prints it")
    return value


def _urls(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if len(value) > _MOST_URLS:
        raise ValueError(f"must have {_MOST_URLS} entries at most, not {len(value)}")
    if len({each.get_secret_value() for each in value}) < len(value):
        raise ValueError("must not contain a URL twice")
    return value


ServiceUrls: TypeAlias = Annotated[
    tuple[SecretStr, ...], Field(strict=False), AfterValidator(_urls)
]


class LogChannel(ChannelSettings):
    """A channel that writes a log line for each notification, to try things out."""

    kind: Literal["log"] = Field("log", description="Kind of the channel.")


class WebhookChannel(ChannelSettings):
    """A channel that sends signed HTTP requests to the endpoints of users."""

    kind: Literal["webhook"] = Field("webhook", description="Kind of the channel.")
    schedule_ms: Pauses = Field(
        (5000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000),
        description="Delay before each further attempt, in ms, each up to 20 % more or less.",
    )
    allow: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        (),
        description="Networks or addresses that endpoints may have although they are not public, "
        "such as 10.1.0.0/16.",
    )
    require_https: bool = Field(True, description="Refuse endpoints without TLS.")
    ports: Ports = Field((443, 8443), description="Ports that endpoints may have.")


class EmailChannel(ChannelSettings):
    """A channel that sends e-mails to the addresses of users, by one SMTP server."""

    kind: Literal["email"] = Field("email", description="Kind of the channel.")
    schedule_ms: Pauses = Field(
        (60_000, 300_000, 900_000, 3_600_000),
        description="Delay before each further attempt, in ms, each up to 20 % more or less.",
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        "", description="Host of the SMTP server; must be set."
    )
    port: int = number(
        587,
        (1, 65_535),
        "Port of the SMTP server: 465 speaks TLS from the start, any other must offer STARTTLS.",
    )
    username: str = Field("", description="User at the SMTP server; empty: none.")
    password: SecretStr | None = Field(
        None,
        description="Password of that user; prefer the credential channels__NAME__password.",
    )
    sender: Annotated[str, AfterValidator(_sender)] = Field(
        "", description='Sender, as ADDRESS or "NAME <ADDRESS>"; must be set.'
    )
    templates: str = Field(
        "", description="Folder of your own templates; what it lacks has the default look."
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        description="URL under which browsers reach /v1/unsubscribe of `galaxy-notify serve`; "
        "empty: e-mails have no link to unsubscribe.",
    )

    _password_file: Path | None = PrivateAttr(None)

    def current_password(self) -> str | None:
        """Return the password as it is now: a credential is read again at every call."""
        return current_password(self._password_file, self.password)


class WebPushChannel(ChannelSettings):
    """A channel that sends web push messages to the browsers of users."""

    kind: Literal["web_push"] = Field("web_push", description="Kind of the channel.")
    public_key: Annotated[str, AfterValidator(_public_key)] = Field(
        "",
        description="Public key that browsers subscribe with; must be set. "
        "`galaxy-notify webpush keys` creates both.",
    )
    private_key: Annotated[SecretStr | None, AfterValidator(_private_key)] = Field(
        None,
        description="Private key that signs requests; must be set. Prefer the credential "
        "channels__NAME__private_key.",
    )
    subject: Annotated[str, AfterValidator(_subject)] = Field(
        "",
        description="Where push services reach you, as mailto:ADDRESS or an https URL; must be "
        "set.",
    )


class AppriseChannel(ChannelSettings):
    """A channel that notifies services of yours, such as chats, through the library Apprise."""

    kind: Literal["apprise"] = Field("apprise", description="Kind of the channel.")
    urls: ServiceUrls = Field(
        (),
        description="Apprise URLs, such as json://localhost:8000; each is notified. Must be set. "
        "Prefer the credential channels__NAME__urls, one per line.",
    )


class OwnChannel(ChannelSettings):
    """A channel of your own: an async function that sends."""

    kind: Attribute = Field(description="Your function, as module:attribute.")


#: The kinds by name; what is not named here is a function of one's own.
KINDS: Final[Mapping[str, type[ChannelSettings]]] = {
    "log": LogChannel,
    "webhook": WebhookChannel,
    "email": EmailChannel,
    "web_push": WebPushChannel,
    "apprise": AppriseChannel,
}
MODELS: Final[tuple[type[ChannelSettings], ...]] = (*KINDS.values(), OwnChannel)
#: What a kind cannot do without, by its name. Secrets are not among it: only a daemon that serves
#: the channel has them, and that checks them at its start.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("host", "sender"),
    "web_push": ("public_key", "subject"),
}


def channel_model(kind: object) -> type[ChannelSettings] | None:
    """Return the settings of a kind; None for an unknown one."""
    if isinstance(kind, str):
        return KINDS.get(kind) or (OwnChannel if is_attribute(kind) else None)
    return None
