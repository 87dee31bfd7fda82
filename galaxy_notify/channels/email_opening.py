"""E-mails as the settings of a channel describe them."""

from __future__ import annotations

from galaxy_notify.channels.email_kind import EmailKind, Unsubscribe
from galaxy_notify.channels.smtp_sender import SmtpSender, SmtpServer
from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.contacts.unsubscribe_token import unsubscribe_token
from galaxy_notify.mail.templates import Templates
from galaxy_notify.settings import Settings
from galaxy_notify.settings.channel_kinds import EmailChannel

#: Where `galaxy-notify serve` answers to the links of e-mails.
UNSUBSCRIBE_PATH = "/v1/unsubscribe"


def open_email(name: str, channel: EmailChannel, settings: Settings) -> EmailKind:
    """Return what sends for a channel of kind ``email``; `close` it at the end.

    Raises `ConfigurationError` with a line for each template that cannot be used.
    """
    server = SmtpServer(channel.host, channel.port, channel.username, channel.current_password)
    templates = Templates(channel.templates, f"channels.{name}.templates")
    return EmailKind(channel, templates, SmtpSender(server), _unsubscribe(channel, settings))


def _unsubscribe(channel: EmailChannel, settings: Settings) -> Unsubscribe | None:
    if not channel.public_url:
        return None

    def url(place: ContactPlace) -> str:
        # A credential is read again: a renewed key signs from then on.
        token = unsubscribe_token(place, settings.contacts.current_keys()[0])
        return f"{channel.public_url}{UNSUBSCRIBE_PATH}?token={token}"

    return url
