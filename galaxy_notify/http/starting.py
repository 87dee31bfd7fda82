"""Whether the API would start with settings: by what its start does, and changing nothing."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.http.auth import Doorkeeper
from galaxy_notify.http.listening import check_host, told
from galaxy_notify.settings import Settings


def start_problems(settings: Settings) -> Iterator[str]:
    """Find what `serve` would refuse to start for; a port that is taken is not looked at.

    It is taken, for instance, while the API runs.
    """
    own = settings.http
    try:
        Doorkeeper(own)
    except ConfigurationError as error:
        yield str(error)
    try:
        check_host(own.host)
    except OSError as error:
        yield f"http.host: cannot listen on {own.host}: {told(error)}"
