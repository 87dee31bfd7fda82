"""Whether a daemon would start with settings: what its start tries, without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from galaxy_notify.embedded.server import check_startable
from galaxy_notify.embedded.state_dir import resolve_state_dir
from galaxy_notify.encoding import load_encoder
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.access import check_access
from galaxy_notify.settings import Settings
from galaxy_notify.settings.values import EMBEDDED


def start_problems(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Find what a daemon would refuse to start for, in its words; nothing is asked of Redis.

    Loads the encoder and the TLS files, makes a client, and looks for the embedded server and its
    folder, by what the start does.
    """
    for look in (_encoder, check_access, lambda own: _embedded(own, environ)):
        try:
            look(settings)
        except ConfigurationError as error:
            yield from str(error).splitlines()


def _encoder(settings: Settings) -> None:
    load_encoder(settings.gateway.encoder)


def _embedded(settings: Settings, environ: Mapping[str, str]) -> None:
    if settings.redis.url == EMBEDDED:
        check_startable(resolve_state_dir(str(settings.redis.state_dir or ""), environ), environ)
