"""What the headers of a request add to the intents in its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers

from galaxy_notify.http.problems import Problem, fault
from galaxy_notify.model.intent import TRACEPARENT

KEY: Final = "Idempotency-Key"
#: What a header can carry of a key: no blank at either end.
KEY_FORM: Final = "[!-~](?:[ -~]*[!-~])?"
_REQUEST_ID: Final = re.compile("[ -~]{1,128}")


def request_id_in(text: str) -> str:
    """Return a request id that an intent can carry, or nothing."""
    return text if _REQUEST_ID.fullmatch(text) else ""


def with_headers(value: Any, headers: Headers) -> Any:
    """Return an intent with what the headers say of the request, where it does not say so itself.

    What is no intent at all is left for the accept to refuse.
    """
    if not isinstance(value, Mapping):
        return value
    added = dict(value)
    request_id, traceparent = headers.get("x-request-id", ""), headers.get("traceparent", "")
    if added.get("request_id") is None and request_id_in(request_id):
        added["request_id"] = request_id
    if added.get("traceparent") is None and TRACEPARENT.fullmatch(traceparent):
        added["traceparent"] = traceparent
    return added


def with_key(value: Any, headers: Headers) -> Any:
    """Return an intent under the key of the header; raise a `Problem` where it has another one."""
    keys = headers.getlist(KEY)
    if not keys or not isinstance(value, Mapping):
        return value
    if len(keys) > 1 or not re.fullmatch(KEY_FORM, keys[0]):
        raise _bad_key("must be given once, in printable ASCII")
    if value.get("idempotency_key") not in (None, keys[0]):
        raise _bad_key("differs from the field idempotency_key")
    return {**value, "idempotency_key": keys[0]}


def without_key(headers: Headers) -> None:
    """Refuse a key for many: raise a `Problem`."""
    if KEY in headers:
        raise _bad_key("stands for one intent: give each its field idempotency_key")


def _bad_key(message: str) -> Problem:
    return Problem("bad-request", f"{KEY}: {message}", [fault(KEY, message)])
