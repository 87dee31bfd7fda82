"""URLs of Postgres: the forms that its client library takes and that a feed can work with."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import AfterValidator

from galaxy_notify.settings.values import EMBEDDED

_SCHEMES: Final = ("postgresql://", "postgres://")
_FORM: Final = f"must be postgresql://USER@HOST:PORT/DATABASE, or {EMBEDDED}"
_ENCODED: Final = "must have / ? # % and @ inside a name or password percent-encoded"
#: What else the client's own URLs may say would change how we connect, or break it.
_OPTIONS: Final = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"}
)
_CHOICES: Final = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    # The feed is written: a standby cannot take it.
    "target_session_attrs": ("any", "read-write", "primary"),
}
_FILES: Final = ("sslrootcert", "sslcert", "sslkey")
#: In place of a file: the certificates that the system trusts.
_SYSTEM: Final = "system"
_PLAIN_MODES: Final = frozenset({"disable", "allow", "prefer"})
_LAST_PORT: Final = 65_535


def files_of(url: str) -> Mapping[str, Path]:
    """Return the files that a valid URL names, by the name of the parameter."""
    given = dict(parse_qsl(urlsplit(url).query)) if url.startswith(_SCHEMES) else {}
    return {name: Path(given[name]) for name in _FILES if name in given and given[name] != _SYSTEM}


def _url(value: str) -> str:
    if value in ("", EMBEDDED):
        return value
    if not value.startswith(_SCHEMES):
        raise ValueError(_FORM)
    # urlsplit would drop some of these without a word.
    if not value.isprintable() or " " in value:
        raise ValueError("must not contain spaces or control characters")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(_FORM) from None
    _check_encoding(parts)
    hosts, options = parts.netloc.rpartition("@")[2], _options(parts.query)
    if not hosts and "host" not in options:
        raise ValueError(f"{_FORM}: the host is missing; a socket is ?host=/FOLDER")
    if hosts and options.keys() & {"host", "port"}:
        raise ValueError("must name the host once: before the database, or as ?host= and port=")
    _check_hosts(hosts)
    _check_ports(options.get("port", "1"))
    _check_tls(options)
    return value


def _check_encoding(parts: SplitResult) -> None:
    text = parts.netloc + parts.path + parts.query
    if parts.fragment or "@" in parts.path + parts.query or "/" in parts.path[1:]:
        raise ValueError(_ENCODED)
    if re.search("%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError(_ENCODED)
    if not parts.path.strip("/"):
        raise ValueError(f"{_FORM}: the database is missing")


def _options(query: str) -> dict[str, str]:
    """Return the parameters behind the question mark, checked one by one."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise ValueError("must not repeat a parameter after the ?")
    for name, text in pairs:
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise ValueError(f"may have only {known} after the ?, not {name}")
        if not text or text not in _CHOICES.get(name, (text,)):
            wanted = ", ".join(_CHOICES.get(name, ("a value",)))
            raise ValueError(f"must have {wanted} as {name}")
    return dict(pairs)


def _check_tls(options: Mapping[str, str]) -> None:
    """Refuse what the client would not use, and so would not check."""
    mode = options.get("sslmode", "prefer")
    if ("sslcert" in options) != ("sslkey" in options):
        raise ValueError("must have sslcert and sslkey together")
    for name in _FILES:
        if name in options and mode in _PLAIN_MODES:
            raise ValueError(f"must have sslmode=verify-full, verify-ca or require with {name}")
    if options.get("sslrootcert") == _SYSTEM and mode != "verify-full":
        raise ValueError("must have sslmode=verify-full with sslrootcert=system")


def _check_hosts(hosts: str) -> None:
    """Refuse what is not HOST[:PORT], one or several with commas between them."""
    for each in hosts.split(",") if hosts else ():
        match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]+)(?::(.*))?", each)
        if not match or not _is_address(unquote(match[1])):
            raise ValueError(_FORM)
        _check_ports(match[2] or "1")


def _is_address(host: str) -> bool:
    if not host.startswith("["):
        return host.isprintable() and " " not in host
    try:
        ipaddress.IPv6Address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _check_ports(ports: str) -> None:
    for port in ports.split(","):
        if not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= _LAST_PORT):
            raise ValueError(f"must have ports of 1 to {_LAST_PORT}")


PostgresUrl: TypeAlias = Annotated[str, AfterValidator(_url)]
