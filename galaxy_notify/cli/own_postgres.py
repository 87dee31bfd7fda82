"""The deployment's own Postgres, as a command uses it: for `feed.url = "embedded"`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

from galaxy_notify.cli.output import note
from galaxy_notify.errors import GalaxyNotifyError, Unavailable
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.embedded.postgres import EmbeddedPostgres
    from galaxy_notify.settings import Settings

_LOOK_EVERY_S: Final = 10.0


class OwnPostgres:
    """Runs the Postgres while a process serves; does nothing where the settings name another one.

    Use it in `with`: at the end it leaves the server, which the last process to leave stops. A
    process lingers then: see `service.serve`.
    """

    def __init__(self, settings: Settings, *, wanted: bool = True) -> None:
        self._server = _server(settings) if wanted and settings.feed.url == "embedded" else None
        self._over = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def is_used(self) -> bool:
        """Return whether there is a server to run."""
        return self._server is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._watch is not None:
            self._watch.join()
        if self._server is not None:
            self._server.stop()

    def start(self) -> bool:
        """Start or adopt the server and say where; False when a signal ended the start.

        Where it does not come up it says so, and the process serves without: what waits for no
        Postgres must not wait for this one. Raises `ConfigurationError` where none may be started.
        """
        if self._server is None:
            return True
        SIGNALS.cleanups.append(self._server.abandon)
        try:
            self._server.start()
        except Unavailable as error:
            if SIGNALS.end_signal:
                return False
            note(f"Starting without Postgres: {error}")
        else:
            found = "Adopted the running" if self._server.adopted else "Started an"
            note(f"{found} embedded Postgres in {self._server.folder}")
        return True

    def watch(self) -> None:
        """Start the server again where it dies, until the end; not for a process that forks."""
        if self._server is not None:
            run = self._keep_running
            self._watch = threading.Thread(target=run, name="own-postgres", args=(self._server,))
            self._watch.start()

    def _keep_running(self, server: EmbeddedPostgres) -> None:
        from galaxy_notify.telemetry.logs import get_logger

        log = get_logger("embedded")
        said = ""
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                server.start()
            except (GalaxyNotifyError, OSError) as error:
                if not SIGNALS.end_signal and str(error) != said:
                    log.warning("embedded postgres unavailable", reason=str(error))
                said = str(error)
            else:
                if not server.adopted:
                    log.warning("embedded postgres restarted")
                said = ""


def _server(settings: Settings) -> EmbeddedPostgres:
    from galaxy_notify.embedded.postgres import EmbeddedPostgres, postgres_folder

    return EmbeddedPostgres(postgres_folder(settings))
