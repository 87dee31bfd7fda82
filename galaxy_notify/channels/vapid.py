"""Tokens by which push services know who sends (VAPID, RFC 8292)."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from galaxy_notify.contacts.vapid_keys import VapidKeys, unpadded

#: A token is valid for this time; push services allow 24 hours, by clocks of their own.
_VALID_S: Final = 12 * 3600
#: It is made again when so much of that is left.
_LEFT_S: Final = 6 * 3600
#: Push services whose tokens are kept: browsers know a handful.
_MOST_KEPT: Final = 256
_NUMBER_BYTES: Final = 32


class _Token(NamedTuple):
    text: str
    expires_at: int


class Vapid:
    """Signs for one channel. A token is kept and used again for the push service it is for."""

    def __init__(self, keys: VapidKeys, subject: str, now: Callable[[], float] = time.time) -> None:
        """Prepare; *now* is a clock for tests. Raises `ValueError` for keys of different pairs."""
        self._private = keys.signing_key()
        self._public = keys.public_key.rstrip("=")
        self._subject = subject
        self._now = now
        self._kept: OrderedDict[str, _Token] = OrderedDict()

    def authorization(self, origin: str) -> str:
        """Return the header ``Authorization`` for a push service.

        *origin* is that of the endpoint, without the port that its scheme has anyway.
        """
        now = int(self._now())
        token = self._kept.get(origin)
        # One from the future was made before the clock was set back.
        if token is None or not now + _LEFT_S < token.expires_at <= now + _VALID_S:
            token = self._kept[origin] = self._token(origin, now + _VALID_S)
        self._kept.move_to_end(origin)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return f"vapid t={token.text},k={self._public}"

    def _token(self, origin: str, expires_at: int) -> _Token:
        head = _json({"typ": "JWT", "alg": "ES256"})
        claims = _json({"aud": origin, "exp": expires_at, "sub": self._subject})
        signed = f"{head}.{claims}"
        signature = self._private.sign(signed.encode(), ECDSA(SHA256()))
        raw = b"".join(one.to_bytes(_NUMBER_BYTES) for one in decode_dss_signature(signature))
        return _Token(f"{signed}.{unpadded(raw)}", expires_at)


def _json(document: dict[str, object]) -> str:
    return unpadded(json.dumps(document, separators=(",", ":")).encode())
