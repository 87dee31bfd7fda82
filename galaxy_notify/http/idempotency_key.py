"""The header Idempotency-Key: the key of the one intent or publication in the body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers

from galaxy_notify.web.problems import Problem, fault

_NAME: Final = "Idempotency-Key"
#: What a header can carry of a key: no blank at either end.
_FORM: Final = "[!-~](?:[ -~]*[!-~])?"
#: The header, for the OpenAPI document.
KEY: Final = {
    "name": _NAME,
    "in": "header",
    "description": "Same as the field idempotency_key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": f"^{_FORM}$"},
}


def with_key(value: Any, headers: Headers) -> Any:
    """Return a value under the key of the header; raise a `Problem` where it has another one.

    A value that is not an object is left for others to refuse.
    """
    keys = headers.getlist(_NAME)
    if not keys or not isinstance(value, Mapping):
        return value
    if len(keys) > 1 or not re.fullmatch(_FORM, keys[0]):
        raise _bad_key("must be given once, in printable ASCII")
    if value.get("idempotency_key") not in (None, keys[0]):
        raise _bad_key("differs from the field idempotency_key")
    return {**value, "idempotency_key": keys[0]}


def refuse_key(headers: Headers, what: str) -> None:
    """Raise a `Problem` if a request with a list has the header; *what* is one of the list."""
    if _NAME in headers:
        raise _bad_key(f"applies to one {what} only: set idempotency_key in each {what}")


def _bad_key(message: str) -> Problem:
    return Problem("bad-request", f"{_NAME}: {message}", [fault(_NAME, message)])
