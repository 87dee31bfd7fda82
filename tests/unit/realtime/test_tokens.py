"""The user of a token: what is refused, and how long a token is good for.

Cases with times and tokens in them have names without: each process that runs tests makes its own.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.realtime.tokens import LIFETIME_S, UserTokens
from galaxy_notify.settings import settings_from
from galaxy_notify.web.signed_tokens import LONGEST, InvalidToken
from tests.support.gateways import AUDIENCE, SECRET, claims, token


def _tokens(**changed: Any) -> UserTokens:
    own = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE, **changed}
    return UserTokens(settings_from({"realtime": own}).realtime)


def _part(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def test_token__names_a_user_until_it_expires() -> None:
    """The time that is left includes the difference that clocks may have."""
    user = _tokens(jwt_leeway_ms=7000).user(token("user-7", exp=time.time() + 100))
    assert user.name == "user-7"
    assert 100 < user.expires_in_s <= 107


_WRONG_TIMES: list[Any] = [True, False, "1", "x", [], {}, float("inf"), float("nan"), 10**400]
_WRONG_USERS: list[Any] = ["", "a b", "\xe4", "x" * 129, 7, ["u1"], "u1\n", "../u1"]


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in ("sub", "aud", "exp", "iat")),
        {"aud": "galaxy-notify"},
        {"aud": []},
        {"aud": [AUDIENCE + "x"]},
        {"aud": 1},
        {"aud": {AUDIENCE: 1}},
        *({"sub": value} for value in _WRONG_USERS),
        *({name: value} for name in ("exp", "iat") for value in [*_WRONG_TIMES, -1, 0]),
        {"exp": time.time() - 60},
        # They are made when tests are collected, which may be long before this one runs.
        {"iat": time.time() + 86_400},
        {"nbf": time.time() + 86_400},
        {"nbf": "x"},
        {"exp": time.time() + LIFETIME_S + 86_400},
        {"exp": time.time() + 60, "iat": time.time() - LIFETIME_S},
    ],
    ids=lambda _: "case",
)
def test_claims__that_are_not_right_are_refused(changed: dict[str, Any]) -> None:
    """Whatever is missing, of another type or out of its range: nobody is let in."""
    with pytest.raises(InvalidToken):
        _tokens().user(token(**changed))


def test_audience__may_be_one_of_several() -> None:
    """A token for several programs has a list."""
    assert _tokens().user(token(aud=["other", AUDIENCE])).name == "u1"


def test_issuer__is_checked_where_it_is_set() -> None:
    """Without the setting any issuer is good."""
    assert _tokens().user(token(iss="https://a")).name == "u1"
    own = _tokens(jwt_issuer="https://a")
    assert own.user(token(iss="https://a")).name == "u1"
    for issuer in (None, "https://b", "", "https://a/"):
        with pytest.raises(InvalidToken):
            own.user(token(iss=issuer))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "hs256", "RS256", "", None, 1])
def test_header__does_not_choose_the_algorithm(algorithm: object) -> None:
    """Only that of the settings counts, whatever the token says."""
    signature = token().rpartition(".")[2]
    for end in ("", signature):
        forged = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(claims())}.{end}"
        with pytest.raises(InvalidToken):
            _tokens().user(forged)


def test_token__of_another_algorithm_or_key_is_refused() -> None:
    """Also one that is well signed."""
    private = rsa.generate_private_key(65537, 2048)
    for signed in (
        jwt.encode(claims(), SECRET * 2, algorithm="HS384"),
        jwt.encode(claims(), private, algorithm="RS256"),
        token(secret="b" * 64),
        token() + "x",
        token()[:-4],
        token().replace(".", "..", 1),
    ):
        with pytest.raises(InvalidToken):
            _tokens().user(signed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "x" * LONGEST,
        "x" * (LONGEST + 1),
        "\xff.\xfe.\xfd",
        f"{_part('[' * 3000)}.{_part(claims())}.",
        f"{_part({'alg': 'HS256'})}.{_part('[' * 3000)}.",
        f"{_part({'alg': 'HS256', 'crit': ['b64'], 'b64': False})}.{_part(claims())}.",
        f"{_part({'alg': 'HS256', 'kid': {'a': 1}})}.{_part(claims())}.",
        f"{_part([])}.{_part([])}.",
        f"{_part('9' * 5000)}.{_part(claims())}.",
    ],
    ids=lambda _: "case",
)
def test_text__that_is_no_token_is_refused(text: str) -> None:
    """The reason repeats nothing of it."""
    with pytest.raises(InvalidToken) as refused:
        _tokens().user(text)
    assert not text or text[:20] not in str(refused.value) or len(text) < 5


@pytest.mark.parametrize(
    "bomb", ["[" * 2500 + "]" * 2500, "9" * 5000, '{"a":' * 800 + "1" + "}" * 800]
)
def test_claims__that_are_a_bomb_are_refused(bomb: str) -> None:
    """Well signed, so that they are read: the process is none the worse."""
    signing_input = f"{_part({'alg': 'HS256'})}.{_part(bomb)}".encode()
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = base64.urlsafe_b64encode(algorithm.sign(signing_input, SECRET.encode()))
    with pytest.raises(InvalidToken):
        _tokens().user(f"{signing_input.decode()}.{signature.rstrip(b'=').decode()}")


@given(st.text(max_size=200))
def test_text__of_any_kind_is_refused(text: str) -> None:
    """There is no other exception."""
    with pytest.raises(InvalidToken):
        _tokens().user(text)


def test_key__is_needed() -> None:
    """Without one nobody could be known."""
    with pytest.raises(ConfigurationError, match=r"realtime\.jwt_key"):
        UserTokens(settings_from({}).realtime)
