"""The section of the feed: where Postgres is, and how the writer fills it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PrivateAttr, SecretStr

from galaxy_notify.settings.postgres_url import PostgresUrl
from galaxy_notify.settings.values import Channels, Section, current_password, number


class FeedSettings(Section):
    """The feed: each user's notifications in Postgres, where url is set."""

    enabled: bool = Field(
        False,
        description="Write the feed inside the daemon (run); `galaxy-notify feed` writes it "
        "regardless.",
    )
    url: PostgresUrl = Field(
        "",
        repr=False,
        description="URL of Postgres: postgresql://USER@HOST:PORT/DATABASE, TLS by sslmode and "
        "sslrootcert; or embedded for a server started by galaxy-notify. Empty: no feed. Do not "
        "put the password here.",
    )
    password: SecretStr | None = Field(
        None, description="Password of that user; prefer the credential feed__password."
    )
    channels: Channels = Field(
        ("in_app",), description="Channels whose events the feed keeps; unknown ones are ignored."
    )
    batch_size: int = number(500, (1, 500), "Maximum events written in one transaction.")
    batch_ms: int = number(
        50, (1, 10_000), "Time from the beginning of an incomplete batch to the next one, in ms."
    )
    statement_timeout_ms: int = number(
        10_000, (100, 600_000), "Time limit of a statement, enforced by Postgres, in ms."
    )
    backlog_max: int = number(
        1_000_000,
        (1000, 1_000_000_000),
        "Maximum events of a shard that wait for Postgres; beyond it, stream channels are held.",
    )
    retention_days: int = number(
        0, (0, 36_500), "Days after which notifications are deleted from the feed; 0: never."
    )

    _password_file: Path | None = PrivateAttr(None)

    @property
    def password_file(self) -> Path | None:
        """Return the credential file that the password came from, if it did."""
        return self._password_file

    def current_password(self) -> str | None:
        """Return the password as it is now: a credential is read again at every call."""
        return current_password(self._password_file, self.password)
