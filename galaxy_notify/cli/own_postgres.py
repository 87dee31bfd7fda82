"""The deployment's own Postgres, as a command uses it: for `feed.url = "embedded"`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

from galaxy_notify.cli.output import note
from galaxy_notify.errors import ConfigurationError, GalaxyNotifyError
from galaxy_notify.signals import SIGNALS

if TYPE_CHECKING:
    from galaxy_notify.embedded.postgres import EmbeddedPostgres
    from galaxy_notify.settings import Settings

#: How long a process waits for its Postgres before it serves without.
_PATIENCE_S: Final = 15.0
_LOOK_EVERY_S: Final = 10.0
_STEP_S: Final = 0.05
#: How long a migration may go on that the end of its server has not ended.
_LEAVE_S: Final = 2.0
_INSTALL: Final = "feed needs more packages: pip install 'galaxy-notify[feed]'"


class OwnPostgres:
    """Runs the Postgres while a process serves; does nothing where the settings name another one.

    Use it in `with`: at the end it leaves the server, which the last process to leave stops. A
    process lingers then: see `service.serve`.
    """

    def __init__(self, settings: Settings, *, wanted: bool = True) -> None:
        own = wanted and settings.feed.url == "embedded"
        self._server = _server(settings) if own else None
        self._settings = settings
        self._is_migrated = False
        self._error: GalaxyNotifyError | OSError | None = None
        self._tried, self._over = threading.Event(), threading.Event()
        # What is started is stopped by the end, and nothing is started behind it.
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def is_used(self) -> bool:
        """Return whether there is a server to run."""
        return self._server is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._turn:
            self._over.set()
            if self._server is not None:
                self._server.stop()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)

    def start(self, *, watch: bool) -> bool:
        """Start or adopt the server, migrate it and say where; False where a signal ended that.

        Where it does not come up in time the process serves without: what needs no Postgres must
        not wait for this one. With *watch* it is started again where it dies, and later where it
        did not come up; that takes a thread, so not in a process that forks. Raises
        `ConfigurationError` where none may be started, or where its schema is a newer one.
        """
        if self._server is None:
            return True
        SIGNALS.cleanups.append(self._server.abandon)
        if watch:
            self._thread = threading.Thread(target=self._keep, name="own-postgres", daemon=True)
            self._thread.start()
            self._await_first()
        else:
            self._try()
        if isinstance(self._error, ConfigurationError):
            raise self._error
        if SIGNALS.end_signal:
            return False
        if self._is_migrated:
            found = "Adopted the running" if self._server.adopted else "Started an"
            note(f"{found} embedded Postgres in {self._server.folder}")
        else:
            why = self._error or f"not ready after {_PATIENCE_S:.0f} s"
            note(f"Starting without the embedded Postgres: {why}")
        return True

    def _await_first(self) -> None:
        waited_s = 0.0
        while not self._tried.wait(_STEP_S) and not SIGNALS.end_signal and waited_s < _PATIENCE_S:
            waited_s += _STEP_S

    def _keep(self) -> None:
        from galaxy_notify.telemetry.logs import get_logger

        log = get_logger("embedded")
        said = ""
        self._try()
        while not self._over.wait(_LOOK_EVERY_S):
            self._try()
            why = str(self._error or "")
            if why and why != said:
                log.warning("embedded postgres unavailable", reason=why)
            elif not why and self._server is not None and not self._server.adopted:
                log.warning("embedded postgres started")
            said = why

    def _try(self) -> None:
        """Have a server that is migrated, or know why there is none."""
        try:
            with self._turn:
                if self._server is None or self._over.is_set():
                    return
                url = self._server.start()
            if not self._is_migrated:
                _migrate(self._settings, url)
                self._is_migrated = True
        except (GalaxyNotifyError, OSError) as error:
            self._error = error
        else:
            self._error = None
        finally:
            self._tried.set()


def _server(settings: Settings) -> EmbeddedPostgres:
    from galaxy_notify.embedded.postgres import EmbeddedPostgres, postgres_folder

    return EmbeddedPostgres(postgres_folder(settings))


def _migrate(settings: Settings, url: str) -> None:
    try:
        from galaxy_notify.feed_store.migrations import migrate
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("psycopg", "psycopg_pool"):
            raise
        raise ConfigurationError(_INSTALL) from None
    import asyncio  # the help needs no event loop

    asyncio.run(migrate(settings.feed, url))
