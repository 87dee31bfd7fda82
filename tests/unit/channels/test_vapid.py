"""Tokens for push services; py_vapid and PyJWT verify them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from py_vapid import Vapid02

from galaxy_notify.channels.vapid import Vapid
from galaxy_notify.contacts.vapid_keys import VapidKeys
from tests.support.push import KEYS, private_key

ORIGIN = "https://push.example.com"
SUBJECT = KEYS["subject"]
PAIR = VapidKeys(KEYS["public_key"], KEYS["private_key"])
HOUR_S = 3600


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.5

    def __call__(self) -> float:
        return self.now


def parts(authorization: str) -> Mapping[str, str]:
    """Return the parameters of the header."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    return dict(one.split("=", 1) for one in rest.split(","))


def claims(authorization: str, public_key: str = PAIR.public_key) -> Any:
    """Return what a token says, once its signature is verified with the key beside it."""
    found = parts(authorization)
    assert found["k"] == public_key
    key = private_key(PAIR.private_key).public_key()
    options: Any = {"verify_exp": False, "verify_aud": False}
    return jwt.decode(found["t"], key, algorithms=["ES256"], options=options)


def test_token__says_who_sends_and_to_whom() -> None:
    """Valid for twelve hours at most."""
    clock = Clock()
    authorization = Vapid(PAIR, SUBJECT, clock).authorization(ORIGIN)
    expected = {"aud": ORIGIN, "exp": 1_900_000_000 + 12 * HOUR_S, "sub": SUBJECT}
    assert claims(authorization) == expected
    assert jwt.get_unverified_header(parts(authorization)["t"]) == {"typ": "JWT", "alg": "ES256"}


def test_token__is_verified_by_another_library() -> None:
    """As push services verify it."""
    assert Vapid02.verify(Vapid(PAIR, SUBJECT).authorization(ORIGIN))


def test_token__is_kept_for_its_push_service() -> None:
    """Others have their own; it is made again long before it ends."""
    clock = Clock()
    vapid = Vapid(PAIR, SUBJECT, clock)
    first = vapid.authorization(ORIGIN)
    assert claims(vapid.authorization("https://other.example.com"))["aud"] != ORIGIN
    clock.now += 5 * HOUR_S
    assert vapid.authorization(ORIGIN) == first
    clock.now += 2 * HOUR_S
    assert claims(vapid.authorization(ORIGIN))["exp"] == int(clock.now) + 12 * HOUR_S


def test_token__of_a_clock_that_was_set_back_is_made_again() -> None:
    """Else it would be valid for longer than push services allow."""
    clock = Clock()
    vapid = Vapid(PAIR, SUBJECT, clock)
    vapid.authorization(ORIGIN)
    clock.now -= 48 * HOUR_S
    assert claims(vapid.authorization(ORIGIN))["exp"] == int(clock.now) + 12 * HOUR_S


def test_tokens__of_many_hosts_fill_no_memory() -> None:
    """Whoever may add subscriptions can name any host."""
    vapid = Vapid(PAIR, SUBJECT, Clock())
    first = vapid.authorization(ORIGIN)
    for number in range(256):
        vapid.authorization(f"https://{number}.example.com")
    assert vapid.authorization(ORIGIN) != first
