"""Who a client is: the user that its token names, never one that a path or a query names."""

from __future__ import annotations

import re
from time import time
from typing import Any, Final, NamedTuple

from galaxy_notify.model.ids import RECIPIENT
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.web.signed_tokens import LONGEST, InvalidToken, TokenVerifier

#: A token that is revoked is refused for this long; a longer one would be valid again after it.
LIFETIME_S: Final = 3600
_REQUIRED: Final = ("sub", "aud", "exp", "iat")
_USER: Final = re.compile(RECIPIENT)


class TokenUser(NamedTuple):
    """A user, and when the token was issued and expires (seconds since 1970)."""

    name: str
    issued_at: float
    expires_at: float

    @property
    def expires_in_s(self) -> float:
        """The seconds that are left; 0 where there are none."""
        return max(0.0, self.expires_at - time())


class UserTokens:
    """Verifies the tokens of users."""

    def __init__(self, settings: RealtimeSettings) -> None:
        """Read the key; raise `ConfigurationError` without one, or if it cannot be used."""
        self._verifier = TokenVerifier.from_settings(
            "realtime", settings, settings.audience, _REQUIRED
        )

    def user(self, token: str) -> TokenUser:
        """Return the user of a token; raise `InvalidToken`."""
        if not token or len(token) > LONGEST:
            raise InvalidToken("invalid token: its length is wrong")
        claims = self._verifier.claims(token)
        name, leeway_s = claims["sub"], self._verifier.leeway_s
        if not isinstance(name, str) or not _USER.fullmatch(name):
            raise InvalidToken("invalid token: its sub is not the id of a user")
        expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
        if expires - issued > LIFETIME_S + leeway_s:
            raise InvalidToken("invalid token: it is valid for more than an hour")
        return TokenUser(name, issued, expires + leeway_s)


def _seconds(claims: Any, name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidToken(f"invalid token: its {name} is not a time")
    try:
        return float(value)
    except OverflowError:
        raise InvalidToken(f"invalid token: its {name} is too large") from None
