"""TLS that cannot work: files that no connection could use, and what the two sides say of it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from galaxy_notify.errors import ConfigurationError

if TYPE_CHECKING:
    from galaxy_notify.settings import RedisSettings

# What a server says of our certificate, in the words of TLS.
_REFUSED: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


class WrongScheme(ssl.SSLError):
    """One side speaks TLS and the other does not; the text says which, and what to change."""

    reason = ""

    def __str__(self) -> str:
        return str(self.args[0])


def tls_trouble(error: BaseException) -> str:
    """Return why TLS cannot work; empty if the error is about something else."""
    # redis-py raises its own error in the place of that of TLS.
    for found in (error, error.__cause__ or error.__context__):
        if isinstance(found, ssl.SSLError):
            return _message(found)
    return ""


def _message(error: ssl.SSLError) -> str:
    reason = str(error.reason or "")
    words = reason.lower().replace("_", " ")
    match error:
        case WrongScheme():
            return str(error)
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".")
            return f"the server's certificate is not accepted: {why} (redis.url, redis.tls_ca)"
        case ssl.SSLError(library="X509" | "PEM" | "ASN1"):
            return f"the TLS files cannot be used: {words} (redis.tls_ca, tls_cert, tls_key)"
    if "ALERT" in reason and any(word in reason for word in _REFUSED):
        alert = words.partition("alert ")[2]
        return f"the server does not accept the client certificate: {alert} (redis.tls_cert)"
    return ""


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
