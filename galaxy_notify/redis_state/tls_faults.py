"""Certificates that are not accepted: by us, by the server, or as a pair of files."""

from __future__ import annotations

import ssl
from typing import Final

# What a server says of our certificate, in the words of TLS.
_REFUSED: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


def tls_trouble(error: BaseException) -> str:
    """Say what is wrong with a certificate; empty where the error is about something else."""
    # redis-py raises its own error in the place of that of TLS.
    for found in (error, error.__cause__ or error.__context__):
        if isinstance(found, ssl.SSLError):
            return _told(found)
    return ""


def _told(error: ssl.SSLError) -> str:
    reason = str(error.reason or "")
    words = reason.lower().replace("_", " ")
    match error:
        case ssl.SSLCertVerificationError():
            why = error.verify_message.rstrip(".")
            return f"the server's certificate is not accepted: {why} (redis.url, redis.tls_ca)"
        case ssl.SSLError(library="X509" | "PEM" | "ASN1"):
            return f"the TLS files cannot be used: {words} (redis.tls_ca, tls_cert, tls_key)"
    if "ALERT" in reason and any(word in reason for word in _REFUSED):
        alert = words.partition("alert ")[2]
        return f"the server does not accept our certificate: {alert} (redis.tls_cert)"
    return ""
