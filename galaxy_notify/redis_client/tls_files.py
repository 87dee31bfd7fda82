"""The TLS files that the settings name: loaded once before a client is made, as connections do."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from galaxy_notify.errors import ConfigurationError

if TYPE_CHECKING:
    from galaxy_notify.settings import RedisSettings


def check_tls_files(redis: RedisSettings) -> None:
    """Raise `ConfigurationError` for files that no connection could use.

    Each connection reads them again, so that rotated ones are picked up.
    """
    if problems := [*_ca(redis), *_pair(redis)]:
        raise ConfigurationError("\n".join(problems))


def _ca(redis: RedisSettings) -> list[str]:
    if redis.tls_ca is None:
        return []
    try:
        _context().load_verify_locations(redis.tls_ca)
    except (OSError, ValueError) as error:
        return [f"redis.tls_ca: must be a file of CA certificates in PEM: {_reason(error)}"]
    return []


def _pair(redis: RedisSettings) -> list[str]:
    if redis.tls_cert is None:
        return []
    try:
        # Without a password here, OpenSSL would ask the terminal for one.
        _context().load_cert_chain(redis.tls_cert, redis.tls_key, password="")
    except (OSError, ValueError) as error:
        rule = "must be a certificate in PEM, and redis.tls_key its key, without a password"
        return [f"redis.tls_cert: {rule}: {_reason(error)}"]
    return []


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error).lower().replace("_", " ")
