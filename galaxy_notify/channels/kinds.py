"""From the section of a channel to what sends for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings.channel_kinds import (
    AppriseChannel,
    EmailChannel,
    LogChannel,
    OwnChannel,
    WebhookChannel,
)

if TYPE_CHECKING:
    import redis.asyncio

    from galaxy_notify.channels.kind import Kind
    from galaxy_notify.redis_state.shared_settings import KeySpace
    from galaxy_notify.settings import Settings

_EXTRA: Final = frozenset({"aiosmtplib", "apprise", "cryptography", "httptools", "jinja2"})
_INSTALL: Final = "external channels need more packages: pip install 'galaxy-notify[channels]'"


@contextmanager
def installed() -> Iterator[None]:
    """Raise `ConfigurationError` where an import lacks the extra, which says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigurationError(_INSTALL) from None


def open_kind(
    name: str, settings: Settings, client: redis.asyncio.Redis, key_space: KeySpace
) -> Kind:
    """Return what sends for a channel, in the running event loop; `close` it at the end.

    *name* is one of `settings.channels`. The kind may use the client until it is closed. Raises
    `ConfigurationError` where a function of one's own or a template cannot be used, and where the
    extra is not installed.
    """
    with installed():
        from galaxy_notify.channels.apprise_kind import AppriseKind
        from galaxy_notify.channels.email_opening import open_email
        from galaxy_notify.channels.log_kind import LogKind
        from galaxy_notify.channels.own_kind import OwnKind
        from galaxy_notify.channels.webhook_kind import WebhookKind
    channel = settings.channels[name]
    if isinstance(channel, LogChannel):
        return LogKind()
    if isinstance(channel, OwnChannel):
        return OwnKind(name, channel)
    if isinstance(channel, WebhookChannel):
        return WebhookKind(name, channel, client, key_space)
    if isinstance(channel, EmailChannel):
        return open_email(name, channel, settings)
    if isinstance(channel, AppriseChannel):
        with installed():
            return AppriseKind(name, channel)
    raise ConfigurationError(f"channels.{name}.kind: {channel.kind} cannot be sent")
