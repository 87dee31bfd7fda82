"""The section of the server: where it is, how to log in, and what a write waits for."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PrivateAttr, SecretStr

from galaxy_notify.settings.values import (
    Durability,
    FilePath,
    HostPort,
    Prefix,
    Section,
    Url,
    current_password,
    number,
)


class RedisSettings(Section):
    """The Redis or Valkey server that stores all state."""

    url: Url = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="URL of Redis or Valkey: redis://, rediss:// (TLS), unix://, valkey:// or "
        "valkeys://; or embedded for a server started by galaxy-notify. Do not put the "
        "password here.",
    )
    prefix: Prefix = Field("gn", description="Prefix of every key; one per deployment.")
    username: str | None = Field(None, description="ACL user to log in as.")
    password: SecretStr | None = Field(
        None, description="Password of that user; prefer the credential redis__password."
    )
    cluster: bool = Field(
        False,
        description="Whether the server is a Redis Cluster; the URL then names one node, "
        "the others are discovered.",
    )
    sentinels: tuple[HostPort, ...] = Field(
        (),
        strict=False,
        description="Sentinels as HOST:PORT; list all of them. They report the primary; only the "
        "scheme, login and database of the URL are used.",
    )
    sentinel_master: str = Field(
        "mymaster", min_length=1, description="Name of the primary that the sentinels monitor."
    )
    sentinel_password: SecretStr | None = Field(None, description="Password of the sentinels.")
    tls_ca: FilePath | None = Field(
        None, description="File with the CA certificates to trust instead of the system's."
    )
    tls_cert: FilePath | None = Field(
        None, description="Client certificate, if the server requires one; needs tls_key."
    )
    tls_key: FilePath | None = Field(None, description="Private key of tls_cert.")
    state_dir: FilePath | None = Field(
        None,
        description="Data directory of the embedded server; unset: $STATE_DIRECTORY, else "
        "$XDG_STATE_HOME/galaxy-notify, else ~/.local/state/galaxy-notify. The embedded Postgres "
        "uses the same name with -postgres.",
    )
    durability: Durability = Field(
        "none",
        description="What a write waits for before it is confirmed: none, replicas:N, or aof (the "
        "primary's disk; Redis 7.2 or Valkey with appendfsync always).",
    )
    max_waiting: int = number(
        100_000,
        (1, 1_000_000),
        "Maximum calls of one process that wait for a connection; further calls are refused as "
        "busy and nothing of them is sent.",
    )

    _password_file: Path | None = PrivateAttr(None)

    @property
    def password_file(self) -> Path | None:
        """Return the credential file that the password came from, if it did."""
        return self._password_file

    def current_password(self) -> str | None:
        """Return the password as it is now: a credential is read again at every call."""
        return current_password(self._password_file, self.password)
