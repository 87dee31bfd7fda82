"""The two users of the stage, and the tokens that their bells show to a gateway."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import jwt

#: What the settings of the stage say too.
AUDIENCE: Final = "stage"
_LIFETIME_S: Final = 600


class Person(NamedTuple):
    """A user by id, as the page names them, and the gateway process that shows their bell."""

    user: str
    name: str
    gateway: str


PEOPLE: Final = (Person("ada", "Ada", "gateway-1"), Person("grace", "Grace", "gateway-2"))
USERS: Final = tuple(person.user for person in PEOPLE)


def token_of(user: str, secret: str) -> str:
    """Return a token of a user, valid for ten minutes."""
    now = int(time.time())
    claims = {"sub": user, "aud": AUDIENCE, "iat": now, "exp": now + _LIFETIME_S}
    return jwt.encode(claims, secret, algorithm="HS256")
