"""What sections are made of: their base, and the forms of single values.

A broken form is a ``ValueError`` with the rule.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from galaxy_notify.model.ids import CHANNEL, NAME

FilePath: TypeAlias = Annotated[Path, Field(strict=False)]

EMBEDDED: Final = "embedded"
MASK: Final = "********"
SCHEMES: Final = ("redis", "rediss", "unix", "valkey", "valkeys")
DAY_MS: Final = 86_400_000
YEAR_MS: Final = 365 * DAY_MS

LONGEST_KEY: Final = 200
#: Bytes that the kernel takes as the path of a socket.
LONGEST_SOCKET: Final = 107
_LAST_PORT: Final = 65_535

_LONGEST_CREDENTIAL = 1 << 16
# What else the client's own URLs may say would change how we connect, or break it.
_URL_OPTIONS: Final = frozenset({"db", "username", "password"})
_TLS_OPTIONS: Final = {
    "ssl_cert_reqs": frozenset({"none", "optional", "required"}),
    "ssl_check_hostname": frozenset({"true", "false"}),
}

_URL_FORM = f"must be redis://HOST:PORT/DB, with one of {', '.join(SCHEMES)}, or {EMBEDDED}"


class Section(BaseModel):
    """A part of the settings: closed, strict about types, and never changed."""

    # Built when first used: `Settings` checks all sections by one schema of its own.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True
    )


def number(default: int | None, bounds: tuple[int, int], meaning: str) -> Any:
    """Return the field of a whole number within *bounds*, both included."""
    least, most = bounds
    return Field(default, ge=least, le=most, description=meaning)


def _form(pattern: str, rule: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _matching(pattern: str) -> AfterValidator:
    return _form(pattern, f"must match {pattern}")


def _url(value: str) -> str:
    if value == EMBEDDED:
        return value
    # The client takes a scheme as it stands; urlsplit would take `REDIS:` or `unix:/` as well.
    if not value.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise ValueError(_URL_FORM)
    # urlsplit would drop some of these without a word.
    if not value.isprintable() or " " in value:
        raise ValueError("must not contain spaces or control characters")
    try:
        parts = urlsplit(value)
        _check_address(unquote(parts.hostname or ""), parts.port)
    except ValueError:
        raise ValueError(_URL_FORM) from None
    _check_parts(parts)
    _check_options(parts)
    return value


def _check_address(host: str, port: int | None) -> None:
    """Raise ``ValueError`` for an address to which no client can connect."""
    if host:
        host.encode("idna")
    if not host.isprintable() or " " in host or port == 0:
        raise ValueError


def _check_parts(parts: SplitResult) -> None:
    if "@" in parts.path + parts.query or parts.fragment:
        raise ValueError("must have / ? # and @ inside a password percent-encoded")
    if parts.scheme == "unix":
        # What stands where a host would is no part of the path, and would be dropped.
        if parts.hostname or not parts.path.strip("/"):
            raise ValueError("must be unix:///PATH/OF/THE/SOCKET")
        path = unquote(parts.path)
        if not path.isprintable():
            raise ValueError("must not contain control characters")
        if (length := len(os.fsencode(path))) > LONGEST_SOCKET:
            raise ValueError(f"must have a path of {LONGEST_SOCKET} bytes at most, not {length}")
    elif not parts.hostname or not re.fullmatch(r"/?|/[0-9]{1,5}", parts.path):
        raise ValueError(_URL_FORM)


def _check_options(parts: SplitResult) -> None:
    tls = _TLS_OPTIONS if parts.scheme in ("rediss", "valkeys") else {}
    given = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in given]
    if len(set(names)) < len(names):
        raise ValueError("must not repeat a parameter after the ?")
    if "db" in names and parts.scheme != "unix" and parts.path.strip("/0"):
        raise ValueError("must name the database once: as /DB or as db=")
    for name, text in given:
        if name == "db" and not re.fullmatch(r"[0-9]{1,5}", text):
            raise ValueError("must have a number as db")
        # Of the two the client takes only the second in capitals as well.
        chosen = text if name == "ssl_cert_reqs" else text.lower()
        if name not in _URL_OPTIONS and chosen not in tls.get(name, ()):
            known = ", ".join((*sorted(_URL_OPTIONS), *tls))
            raise ValueError(f"may have only {known} after the ?, each with a valid value")


def _host_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
        _check_address(host, int(port))
    except ValueError:
        raise ValueError("must be HOST:PORT, with a valid address") from None
    if int(port) > _LAST_PORT:
        raise ValueError(f"must have a port of 1 to {_LAST_PORT}")
    return value


def _channels(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("needs at least one")
    if len(set(value)) != len(value):
        raise ValueError("must not contain a channel twice")
    return value


def channel_weights(values: Iterable[str]) -> dict[str, int]:
    """Return channel → weight of ``NAME=N`` values that have been checked."""
    pairs = (value.partition("=") for value in values)
    return {name: int(number) for name, _, number in pairs}


def _weights(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(channel_weights(values)) != len(values):
        raise ValueError("must not contain a channel twice")
    return values


def _stream(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("must not begin or end with spaces, or contain control characters")
    return value


def _intents(value: str) -> str:
    if not 1 <= len(value) <= LONGEST_KEY:
        raise ValueError(f"must be 1 to {LONGEST_KEY} characters")
    return _stream(value)


def masked_url(url: str) -> str:
    """Show a URL without the password that may stand before its host or in its query."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}:{MASK}{at}{host}" if colon else parts.netloc
    query = urlencode(
        [(key, MASK if "password" in key else text) for key, text in parse_qsl(parts.query)],
        safe="*/",
    )
    if not (colon or query):
        return url
    # geturl() would write unix:///path with one slash only.
    shown = parts._replace(netloc=netloc, query=query).geturl()
    return shown if "://" in shown else shown.replace(":", "://", 1)


def credential_text(path: Path) -> str:
    """Read a credential file, without the line end that editors leave."""
    with path.open("rb") as file:
        text = file.read(_LONGEST_CREDENTIAL + 1)
    if len(text) > _LONGEST_CREDENTIAL:
        raise OSError(errno.EFBIG, f"is longer than {_LONGEST_CREDENTIAL:,} bytes")
    return text.decode().removesuffix("\n").removesuffix("\r")


def current_text(file: Path | None) -> str | None:
    """Return what a credential file has now; None where it cannot be read."""
    if file is not None:
        with suppress(OSError, UnicodeDecodeError):
            return credential_text(file)
    return None


def current_password(file: Path | None, password: SecretStr | None) -> str | None:
    """Return a password as its credential file has it now, or as it was set."""
    text = current_text(file)
    if text is not None:
        return text or None
    return password.get_secret_value() if password else None


def items_of(text: str) -> object:
    """Return the list that a text holds: JSON, or items between commas or line ends."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return [item.strip() for item in re.split("[,\n]", text)] if text.strip() else []


_MODULE = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
_ATTRIBUTE: Final = re.compile(f"{_MODULE}:{_MODULE}")


def is_attribute(text: str) -> bool:
    """Return whether a text has the form ``module:attribute``."""
    return _ATTRIBUTE.fullmatch(text) is not None


def _attribute(value: str) -> str:
    if value and not is_attribute(value):
        raise ValueError("must be module:attribute")
    return value


def _type_time(value: str) -> str:
    name, _, text = value.partition("=")
    if not re.fullmatch(NAME, name) or not re.fullmatch("[0-9]{1,11}", text):
        raise ValueError("must be TYPE=MS")
    if int(text) > YEAR_MS:
        raise ValueError(f"must not be longer than {YEAR_MS} ms")
    return value


TypeName: TypeAlias = Annotated[str, _matching(NAME)]
TypeTime: TypeAlias = Annotated[str, AfterValidator(_type_time)]
Url: TypeAlias = Annotated[str, AfterValidator(_url)]
Prefix: TypeAlias = Annotated[str, _matching(NAME)]
Channel: TypeAlias = Annotated[str, _matching(CHANNEL)]
Channels: TypeAlias = Annotated[tuple[Channel, ...], Field(strict=False), AfterValidator(_channels)]
Weight: TypeAlias = Annotated[
    str,
    _form(rf"{CHANNEL}=[1-9][0-9]{{0,1}}|{CHANNEL}=100", "must be NAME=N, with N from 1 to 100"),
]
Weights: TypeAlias = Annotated[tuple[Weight, ...], Field(strict=False), AfterValidator(_weights)]
Durability: TypeAlias = Annotated[
    str, _form(r"none|aof|replicas:[1-9][0-9]{0,2}", "must be none, replicas:N or aof")
]
Encoder: TypeAlias = Annotated[
    str, _form(f"msgpack|json|{_MODULE}:{_MODULE}", "must be msgpack, json or module:attribute")
]
Attribute: TypeAlias = Annotated[str, AfterValidator(_attribute)]
HostPort: TypeAlias = Annotated[
    str,
    _form(r"([^\s:,\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", "must be HOST:PORT"),
    AfterValidator(_host_port),
]
Stream: TypeAlias = Annotated[str, AfterValidator(_stream)]
Intents: TypeAlias = Annotated[str, AfterValidator(_intents)]
Group: TypeAlias = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")]
