"""Whether a daemon would start with settings: what its start tries, without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from galaxy_notify.embedded import postgres
from galaxy_notify.embedded.server import check_startable
from galaxy_notify.embedded.state_dir import resolve_state_dir
from galaxy_notify.encoding import load_encoder
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.access import check_access
from galaxy_notify.settings import Settings
from galaxy_notify.settings.values import EMBEDDED


def start_problems(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Find what a daemon would refuse to start for, in its words; nothing is asked of Redis.

    Loads the encoder and the TLS files, makes a client, and looks for the embedded servers and
    their folders, by what the start does.
    """

    def embedded() -> None:
        own = settings.redis
        if own.url == EMBEDDED:
            check_startable(resolve_state_dir(str(own.state_dir or ""), environ), environ)

    def embedded_postgres() -> None:
        if settings.feed.url == EMBEDDED:
            postgres.check_startable(postgres.postgres_folder(settings, environ), environ)

    encoder = partial(load_encoder, settings.gateway.encoder)
    for check in (encoder, partial(check_access, settings), embedded, embedded_postgres):
        try:
            check()
        except ConfigurationError as error:
            yield from str(error).splitlines()
