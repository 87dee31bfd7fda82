"""The section of the feed: where Postgres is, and how the writer fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr

from galaxy_notify.settings.values import EMBEDDED, Channels, Section, current_password, number

_SCHEMES: Final = ("postgresql://", "postgres://")
_FORM: Final = f"must be postgresql://USER@HOST:PORT/DATABASE, or {EMBEDDED}"
#: What else the client's own URLs may say would change how we connect, or break it.
_OPTIONS: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"}
)


def _url(value: str) -> str:
    if value in ("", EMBEDDED):
        return value
    if not value.startswith(_SCHEMES) or not value.isprintable() or " " in value:
        raise ValueError(_FORM)
    parts = urlsplit(value)
    given = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.fragment or not parts.path.strip("/"):
        raise ValueError(_FORM)
    if len(set(given)) < len(given):
        raise ValueError("must not repeat a parameter after the ?")
    if unknown := set(given) - _OPTIONS:
        known = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"may have only {known} after the ?, not {min(unknown)}")
    return value


PostgresUrl: TypeAlias = Annotated[str, AfterValidator(_url)]


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
        50, (1, 10_000), "How long an incomplete batch waits for more events, in ms."
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
