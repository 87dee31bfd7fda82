"""The rules between the settings of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from galaxy_notify.settings.http import LEAST_SECRET, SHARED, HttpSettings, is_loopback


class Fault(NamedTuple):
    """A broken rule: the fields of the section that break it together, the first to blame."""

    fields: tuple[str, ...]
    message: str


def http_faults(http: HttpSettings) -> Iterator[Fault]:
    """Find every rule between settings of the section that is broken."""
    if not http.is_guarded and not is_loopback(http.host):
        message = "must be a loopback address such as 127.0.0.1 without http.tokens or http.jwt_key"
        yield Fault(("host", "tokens", "jwt_key"), message)
    yield from _jwt(http)


def _jwt(http: HttpSettings) -> Iterator[Fault]:
    shared = http.jwt_algorithm in SHARED
    wanted, other = ("jwt_secret", "jwt_key") if shared else ("jwt_key", "jwt_secret")
    named = ("jwt_issuer", "jwt_audience")
    if not http.takes_jwt:
        for name in named:
            if getattr(http, name):
                yield Fault((name, wanted), f"needs http.{wanted} beside it")
        return
    if getattr(http, other) is not None:
        message = f"does not go with http.jwt_algorithm {http.jwt_algorithm}: give http.{wanted}"
        yield Fault((other, "jwt_algorithm"), message)
    for name in named:
        if not getattr(http, name):
            given = wanted if getattr(http, wanted) is not None else other
            yield Fault((name, given), f"must be set where http.{given} is")
    secret = http.jwt_secret
    if secret and len(secret.get_secret_value().encode()) < LEAST_SECRET:
        yield Fault(("jwt_secret",), f"must have {LEAST_SECRET} bytes or more")
