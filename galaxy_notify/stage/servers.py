"""The deployment of the stage: a Redis and a Postgres of its own, and the settings of all of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from galaxy_notify.embedded.postgres import EmbeddedPostgres, postgres_folder
from galaxy_notify.embedded.server import EmbeddedServer
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.settings import Settings, load_settings
from galaxy_notify.signals import SIGNALS
from galaxy_notify.stage.people import AUDIENCE
from galaxy_notify.stage.postbox import POSTBOX_VARIABLE

#: How long the stage waits before it e-mails what was not read.
EMAIL_DELAY_MS: Final = 6000
_SETTINGS: Final = """\
[redis]
url = "{redis}"
state_dir = "{state}"

[worker]
channels = ["in_app", "email"]

[rules]
default_channels = ["in_app"]

[log]
format = "json"

[contacts]
lookup = "galaxy_notify.stage.postbox:find"

[channels.email]
kind = "galaxy_notify.stage.postbox:send"
delay_ms = {delay}
unless_read = true
timeout_ms = 1000
lease_ttl_ms = 2000
schedule_ms = [500, 1000, 2000, 4000]

[feed]
url = "{postgres}"
enabled = true

[realtime]
audience = "{audience}"
jwt_algorithm = "HS256"
jwt_secret = "{secret}"
bell_origins = ["{origin}"]
history = 300
reclaim_idle_ms = 1000
presence_ttl_ms = 3000
drain_ms = 0
"""


class Servers:
    """Runs both servers in a folder; `stop` ends them."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.config = folder / "galaxy_notify.toml"
        self.postbox = folder / "postbox.jsonl"
        #: What verifies the tokens of the users.
        self.secret = secrets.token_hex(32)
        # Settings of the user's own deployment must not reach the stage.
        own = {k: v for k, v in environ.items() if not k.startswith("GALAXY_NOTIFY_")}
        self.environ = own | {POSTBOX_VARIABLE: str(self.postbox)}
        self._state = folder / "server"
        self._redis = EmbeddedServer(self._state)
        self._postgres: EmbeddedPostgres | None = None

    async def start(self, origin: str) -> Settings:
        """Start both, write the settings, and return them; the page is of *origin*.

        Raises `ConfigurationError` and `Unavailable`.
        """
        SIGNALS.cleanups.append(self._redis.abandon)
        about = {
            "redis": self._redis.start(),
            "state": self._state,
            "delay": EMAIL_DELAY_MS,
            "audience": AUDIENCE,
            "secret": self.secret,
            "origin": origin,
        }
        file = os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as config:
            config.write(_SETTINGS.format(postgres="embedded", **about))
        settings = self._settings()
        self._postgres = EmbeddedPostgres(postgres_folder(settings))
        SIGNALS.cleanups.append(self._postgres.abandon)
        url = self._postgres.start()
        await migrate(settings.feed, url)
        # The processes only connect: the servers are ours.
        self.config.write_text(_SETTINGS.format(postgres=url, **about))
        return self._settings()

    def stop(self) -> None:
        """Stop what was started."""
        if self._postgres is not None:
            self._postgres.stop()
        self._redis.stop()

    def _settings(self) -> Settings:
        return load_settings(str(self.config), environ=self.environ)
