"""Who may open a stream, by the headers of the request alone."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.realtime.access import Access, single_values
from galaxy_notify.settings import settings_from
from galaxy_notify.web.problems import Problem
from tests.support.gateways import AUDIENCE, SECRET, token

_PAGE = "https://app.example"
_COOKIE = "__Host-session"


def _access(**changed: Any) -> Access:
    own = {"jwt_algorithm": "HS256", "jwt_secret": SECRET, "audience": AUDIENCE, **changed}
    return Access(settings_from({"realtime": own}).realtime)


def _with_cookie() -> Access:
    return _access(cookie=_COOKIE, allowed_origins=[_PAGE])


def _status(access: Access, **headers: str) -> int:
    given = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    try:
        access.user(given, only_reads=True)
    except Problem as problem:
        return problem.status
    return 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {token()}", 200),
        (f"bearer   {token()} ", 200),
        (f"Basic {token()}", 401),
        (token(), 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("", 401),
        (f"Bearer {token(secret='b' * 40)}", 401),
    ],
    ids=lambda _: "case",
)
def test_header__opens_by_a_bearer_token_alone(header: str, status: int) -> None:
    """Any other header is refused, with the challenge that the standard asks for."""
    assert _status(_access(), authorization=header) == status


def test_header__goes_before_the_cookie() -> None:
    """A bad header is not made good by a cookie, and with a good one no page is asked for."""
    cookie = f"{_COOKIE}={token()}"
    assert _status(_with_cookie(), authorization="Bearer x", cookie=cookie, origin=_PAGE) == 401
    user = _with_cookie().user(
        {b"authorization": f"Bearer {token('u2')}", b"cookie": cookie, b"origin": "https://evil"},
        only_reads=True,
    )
    assert user.name == "u2"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": _PAGE}, 200),
        ({"origin": _PAGE, "sec_fetch_site": "cross-site"}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({}, 403),
        ({"sec_fetch_site": "none"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "Same-Origin"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "", "sec_fetch_site": "same-origin"}, 403),
        ({"origin": f"{_PAGE}:443"}, 403),
        ({"origin": _PAGE.upper()}, 403),
        ({"origin": f"{_PAGE}/"}, 403),
        ({"origin": "http://app.example"}, 403),
    ],
)
def test_cookie__needs_a_page_that_may(headers: dict[str, str], status: int) -> None:
    """A browser sends a cookie for every page: the page must be listed, or of the same host."""
    assert _status(_with_cookie(), cookie=f"{_COOKIE}={token()}", **headers) == status


@pytest.mark.parametrize(
    ("cookie", "status"),
    [
        (f"{_COOKIE}={token()}", 200),
        (f'{_COOKIE}="{token()}"', 200),
        (f'a={{"b": [1]}}; x; =; ;{_COOKIE}={token()};', 200),
        (f"x{_COOKIE}={token()}", 401),
        (f"{_COOKIE.lower()}={token()}", 401),
        (f"{_COOKIE}", 401),
        (f"{_COOKIE}=", 401),
        (f"{_COOKIE}={token()}; {_COOKIE}={token()}", 401),
        ('"\\' * 30_000, 401),
    ],
    ids=lambda _: "case",
)
def test_cookie__is_found_among_others(cookie: str, status: int) -> None:
    """What other programs keep need not be valid; two of ours are none."""
    assert _status(_with_cookie(), cookie=cookie, origin=_PAGE) == status
    assert _status(_access(allowed_origins=[_PAGE]), cookie=cookie, origin=_PAGE) == 401


@pytest.mark.parametrize(
    "name", ["authorization", "cookie", "last-event-id", "origin", "sec-fetch-site"]
)
def test_headers__that_decide_are_given_once(name: str) -> None:
    """With two values it is unclear which one is meant, also where they are equal."""
    with pytest.raises(Problem) as refused:
        single_values([(name.encode(), b"a"), (b"x", b"1"), (name.encode(), b"a")])
    assert refused.value.status == 400
    assert name.title() in refused.value.detail


def test_headers__that_decide_nothing_may_be_repeated() -> None:
    """Proxies repeat some."""
    assert single_values([(b"x", b"1"), (b"x", b"\xff")]) == {b"x": "\xff"}


def test_cors__is_for_listed_pages() -> None:
    """Others learn nothing, and caches know that the answer depends on the page."""
    access = _with_cookie()
    allowed = dict(access.cors(_PAGE))
    assert allowed[b"access-control-allow-origin"] == _PAGE.encode()
    assert allowed[b"vary"] == b"origin"
    for origin in (None, "", "null", "*", "https://evil.example", f"{_PAGE}.evil"):
        assert dict(access.cors(origin, preflight=True)) == {b"vary": b"origin"}
    asked = dict(access.cors(_PAGE, preflight=True))
    assert asked[b"access-control-allow-headers"] == (
        b"authorization, last-event-id, content-type, if-match"
    )
    assert int(asked[b"access-control-max-age"]) > 0
    assert _access().cors(_PAGE, preflight=True) == ()
