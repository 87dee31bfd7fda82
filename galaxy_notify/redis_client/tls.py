"""TLS that cannot work: files that no connection could use, and what the two sides say of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
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
    context, problems = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), []
    if redis.tls_ca is not None:
        rule = "redis.tls_ca: must be a file of CA certificates in PEM"
        problems += _problem(rule, partial(context.load_verify_locations, redis.tls_ca))
    if redis.tls_cert is not None:
        rule = "must be a certificate in PEM, and redis.tls_key its key, without a password"
        # Without a password here, OpenSSL would ask the terminal for one.
        load = partial(context.load_cert_chain, redis.tls_cert, redis.tls_key, password="")
        problems += _problem(f"redis.tls_cert: {rule}", load)
    if problems:
        raise ConfigurationError("\n".join(problems))


def _problem(rule: str, load: Callable[[], None]) -> list[str]:
    try:
        load()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        return [f"{rule}: {str(reason).lower().replace('_', ' ')}"]
    return []
