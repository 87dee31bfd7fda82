"""docs/gateway.md: its proxies let through what a gateway serves to users, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from unittest.mock import Mock

import pytest

from galaxy_notify.realtime.app import App
from galaxy_notify.settings import settings_from
from tests.support.documents import runnable
from tests.support.gateways import AUDIENCE, SECRET

#: What is for operators, and what no gateway has.
_INSIDE = {"/healthz", "/readyz", "/metrics"}
_FOREIGN = (
    "/",
    "/v1/status",
    "/v1/users/u1/feed",
    "/client",
    "/clientxjs",
    "/client.js/x",
    "/bell/",
    "/bell.html",
    "/v1/me",
)
LetsThrough = Callable[[str], bool]


def _nginx(text: str) -> LetsThrough:
    """Follow its locations: an exact one, else the longest beginning, unless a pattern matches."""
    places = re.findall(r"location (?:(=|~) )?(\S+) {(.*?)}$", text, re.MULTILINE | re.DOTALL)

    def lets_through(path: str) -> bool:
        found = [(2, p, b) for kind, p, b in places if kind == "=" and path == p]
        found += [(1, p, b) for kind, p, b in places if kind == "~" and re.search(p, path)]
        found += [(0, p, b) for kind, p, b in places if not kind and path.startswith(p)]
        return "proxy_pass" in max(found, key=lambda place: (place[0], len(place[1])))[2]

    return lets_through


def _haproxy(text: str) -> LetsThrough:
    """Take what one of its conditions takes."""
    beginnings = re.findall(r"acl \w+ path_beg (\S+)", text)
    patterns = re.findall(r"acl \w+ path_reg (\S+)", text)
    assert "http-request return status 404 unless of_users || client || bell" in text
    return lambda path: (
        any(path.startswith(one) for one in beginnings)
        or any(re.search(one, path) is not None for one in patterns)
    )


def _caddy(text: str) -> LetsThrough:
    """Take what its matcher names; a star stands for any text."""
    (line,) = re.findall(r"@users path (.*)", text)
    return lambda path: any(fnmatchcase(path, one) for one in line.split())


@pytest.mark.parametrize(
    ("language", "read"), [("nginx", _nginx), ("haproxy", _haproxy), ("caddy", _caddy)]
)
def test_proxy__lets_the_paths_of_users_through(
    language: str, read: Callable[[str], LetsThrough]
) -> None:
    """Each path that the gateway has now, probes and metrics left out."""
    (block,) = runnable("docs/gateway.md", language, "proxy")
    lets_through = read(block.text)
    served = _served()
    assert {path for path in served if lets_through(path)} == served - _INSIDE
    assert {path for path in _FOREIGN if lets_through(path)} == set()


def test_nginx__does_not_buffer_streams() -> None:
    """Nor compress them, and it waits for longer than a gateway is silent."""
    (block,) = runnable("docs/gateway.md", "nginx", "proxy")
    places = dict(re.findall(r"location = (\S+) {(.*?)}$", block.text, re.MULTILINE | re.DOTALL))
    for line in ("proxy_buffering off;", "gzip off;", "proxy_read_timeout 90s;"):
        assert line in places["/v1/me/stream"]
    for line in ("Connection upgrade;", "Upgrade $http_upgrade;", "proxy_read_timeout 90s;"):
        assert line in places["/v1/me/ws"]
    assert settings_from({}).realtime.ping_ms < 90_000


def _served() -> set[str]:
    """Return the paths of a gateway with a feed and a bell."""
    key = {"audience": AUDIENCE, "jwt_algorithm": "HS256", "jwt_secret": SECRET}
    realtime = {**key, "bell_origins": ["https://app.example.com"]}
    settings = settings_from({"realtime": realtime}).realtime
    return {*App(settings, Mock(), Mock(), Mock(), feed=Mock(), subscriptions=Mock())._paths}
