"""Whether a daemon would start with settings: what its start tries, without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Final

from galaxy_notify.embedded import postgres
from galaxy_notify.embedded.server import check_startable
from galaxy_notify.embedded.state_dir import resolve_state_dir
from galaxy_notify.encoding import load_encoder
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.callables import check_callable, loaded_attribute
from galaxy_notify.operations.service_urls import refused_urls
from galaxy_notify.redis_client.access import check_access
from galaxy_notify.settings import Settings
from galaxy_notify.settings.channel_kinds import (
    AppriseChannel,
    EmailChannel,
    LogChannel,
    OwnChannel,
    WebPushChannel,
)
from galaxy_notify.settings.channels import ChannelSettings
from galaxy_notify.settings.values import EMBEDDED

#: The packages of the extra `channels`.
_EXTRA: Final = ("aiosmtplib", "apprise", "cryptography", "httptools", "jinja2")
_WITHOUT_CONTACTS: Final = (AppriseChannel, LogChannel)
_INSTALL: Final = "external channels need more packages: pip install 'galaxy-notify[channels]'"


def check_channels(settings: Settings) -> None:
    """Raise `ConfigurationError` if the external channels of this process cannot be served.

    A process that serves none of them needs none of what they need.
    """
    if problems := list(_channel_problems(settings)):
        raise ConfigurationError("\n".join(problems))


def _channel_problems(settings: Settings) -> Iterator[str]:
    served = settings.external_channels
    if served and not all(map(find_spec, _EXTRA)):
        yield _INSTALL
    for name in served:
        channel, place = settings.channels[name], f"channels.{name}"
        if channel.unless_read and not settings.feed.url:
            yield f"{place}.unless_read: needs feed.url"
        yield from _secret_problems(place, channel)
        yield from _kind_problems(place, channel)
    contacts = settings.contacts
    reaching = [
        name for name in served if not isinstance(settings.channels[name], _WITHOUT_CONTACTS)
    ]
    if reaching and contacts.lookup:
        yield from _problem_of("contacts.lookup", contacts.lookup, ("user", "channel"))
    elif reaching and not contacts.keys:
        yield f"contacts.keys: must be set for channels.{reaching[0]}, or contacts.lookup"


def _secret_problems(place: str, channel: ChannelSettings) -> Iterator[str]:
    """Find secrets that are missing: other processes than those that send need none of them."""
    if isinstance(channel, EmailChannel) and channel.username and not channel.current_password():
        yield f"{place}.password: must be set beside {place}.username"
    if isinstance(channel, WebPushChannel) and not _private_key(channel):
        yield f"{place}.private_key: must be set"
    if isinstance(channel, AppriseChannel) and not channel.urls:
        yield f"{place}.urls: must be set"


def _private_key(channel: WebPushChannel) -> str:
    return channel.private_key.get_secret_value() if channel.private_key else ""


def _kind_problems(place: str, channel: ChannelSettings) -> Iterator[str]:
    if isinstance(channel, OwnChannel):
        yield from _problem_of(f"{place}.kind", channel.kind, ("delivery",))
    if isinstance(channel, EmailChannel) and find_spec("jinja2"):
        yield from _template_problems(f"{place}.templates", channel.templates)
    if isinstance(channel, AppriseChannel) and find_spec("apprise"):
        yield from refused_urls(f"{place}.urls", channel.urls)
    if isinstance(channel, WebPushChannel) and _private_key(channel) and find_spec("cryptography"):
        yield from _key_problems(f"{place}.private_key", channel)


def _template_problems(setting: str, folder: str) -> Iterator[str]:
    from galaxy_notify.mail.templates import Templates  # it needs the extra

    try:
        Templates(folder, setting)
    except ConfigurationError as error:
        yield from str(error).splitlines()


def _key_problems(setting: str, channel: WebPushChannel) -> Iterator[str]:
    from galaxy_notify.contacts.vapid_keys import VapidKeys  # it needs the extra

    try:
        VapidKeys(channel.public_key, _private_key(channel)).signing_key()
    except ValueError as error:
        yield f"{setting}: {error}"


def _problem_of(name: str, attribute: str, parameters: Sequence[str]) -> Iterator[str]:
    try:
        check_callable(name, loaded_attribute(name, attribute), parameters, asynchronous=True)
    except ConfigurationError as error:
        yield str(error)


def start_problems(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Find what a daemon would refuse to start for, in its words; nothing is asked of Redis.

    Loads the encoder, your own channels and the TLS files, makes a client, and looks for the
    embedded servers and their folders, by what the start does.
    """

    def embedded() -> None:
        own = settings.redis
        if own.url == EMBEDDED:
            check_startable(resolve_state_dir(str(own.state_dir or ""), environ), environ)

    def embedded_postgres() -> None:
        if settings.feed.url == EMBEDDED:
            postgres.check_startable(postgres.postgres_folder(settings, environ), environ)

    encoder = partial(load_encoder, settings.gateway.encoder)
    channels = partial(check_channels, settings)
    checks = (encoder, channels, partial(check_access, settings), embedded, embedded_postgres)
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            yield from str(error).splitlines()
