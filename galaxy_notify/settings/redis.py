"""The section of the server: where it is, how to log in, and what a write waits for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import Field, PrivateAttr, SecretStr

from galaxy_notify.settings.values import (
    Durability,
    FilePath,
    HostPort,
    Prefix,
    Section,
    Url,
    credential_text,
)


class RedisSettings(Section):
    """The server that keeps all state."""

    url: Url = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Where Redis or Valkey is: redis://, rediss:// (TLS), unix://, valkey:// or "
        "valkeys://; or the word embedded for a server of our own. Better without the password.",
    )
    prefix: Prefix = Field(
        "gn", description="What the name of every key begins with; one per deployment."
    )
    username: str | None = Field(None, description="The ACL user to log in as.")
    password: SecretStr | None = Field(
        None, description="Its password; better given as the credential redis__password."
    )
    cluster: bool = Field(
        False, description="Redis Cluster: the URL names one of its nodes, the others are found."
    )
    sentinels: tuple[HostPort, ...] = Field(
        (),
        strict=False,
        description="Sentinels as HOST:PORT, best all of them. They say where the primary is; of "
        "the URL only the scheme, the login and the database count.",
    )
    sentinel_master: str = Field(
        "mymaster", min_length=1, description="The name of the primary that the sentinels watch."
    )
    sentinel_password: SecretStr | None = Field(None, description="The sentinels' own password.")
    tls_ca: FilePath | None = Field(
        None, description="A file of CA certificates to trust instead of the system's."
    )
    tls_cert: FilePath | None = Field(
        None, description="Our certificate, for a server that asks for one; needs tls_key."
    )
    tls_key: FilePath | None = Field(None, description="The key of tls_cert.")
    state_dir: FilePath | None = Field(
        None,
        description="Where the embedded server keeps its data; unset: $STATE_DIRECTORY, else "
        "$XDG_STATE_HOME/galaxy-notify, else ~/.local/state/galaxy-notify.",
    )
    durability: Durability = Field(
        "none",
        description="What a write waits for before it is called done: none, replicas:N, or aof "
        "(the primary's disk; Redis 7.2 or Valkey with appendfsync always).",
    )
    max_waiting: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="How many calls of one process may wait in line for a connection; one more "
        "is refused as busy, and nothing of it is sent.",
    )

    _password_file: Path | None = PrivateAttr(None)

    @property
    def password_file(self) -> Path | None:
        """Return the credential file that the password came from, if it did."""
        return self._password_file

    def current_password(self) -> str | None:
        """Return the password as it is now: a credential is read again at every call."""
        if self._password_file is not None:
            with suppress(OSError, UnicodeDecodeError):
                return credential_text(self._password_file) or None
        return self.password.get_secret_value() if self.password else None
