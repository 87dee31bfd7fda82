"""TLS that cannot work: a certificate that is not accepted, or only one side speaks it."""

from __future__ import annotations

import ssl
from typing import Final

# What a server says of our certificate, in the words of TLS.
_REFUSED: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


class WrongScheme(ssl.SSLError):
    """One side speaks TLS and the other does not; the text says which, and what to change."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.reason = ""

    def __str__(self) -> str:
        return self.text


def no_tls_there(server: str) -> WrongScheme:
    """Return the error for a plain server that TLS was spoken to."""
    return WrongScheme(
        f"the server at {server} does not speak TLS: use redis:// in redis.url, or its TLS port"
    )


def tls_there(server: str) -> WrongScheme:
    """Return the error for a TLS server that was spoken to without it."""
    return WrongScheme(
        f"the server at {server} speaks TLS: use rediss:// in redis.url, or its plain port"
    )


def tls_trouble(error: BaseException) -> str:
    """Say why TLS cannot work; empty where the error is about something else."""
    # redis-py raises its own error in the place of that of TLS.
    for found in (error, error.__cause__ or error.__context__):
        if isinstance(found, ssl.SSLError):
            return _told(found)
    return ""


def _told(error: ssl.SSLError) -> str:
    reason = str(error.reason or "")
    words = reason.lower().replace("_", " ")
    match error:
        case WrongScheme():
            return error.text
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".")
            return f"the server's certificate is not accepted: {why} (redis.url, redis.tls_ca)"
        case ssl.SSLError(library="X509" | "PEM" | "ASN1"):
            return f"the TLS files cannot be used: {words} (redis.tls_ca, tls_cert, tls_key)"
    if "ALERT" in reason and any(word in reason for word in _REFUSED):
        alert = words.partition("alert ")[2]
        return f"the server does not accept our certificate: {alert} (redis.tls_cert)"
    return ""
