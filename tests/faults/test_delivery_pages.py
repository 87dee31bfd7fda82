"""Row D11: pages of foreign origins, with the cookie that the browser of a user sends for them."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conftest import NewDeliveryRun
from tests.faults.support.delivery_run import DeliveryRun
from tests.faults.support.gateways import FaultyGateway
from tests.support.gateways import token
from tests.support.streams import PATH, request
from tests.support.websockets import HANDSHAKE
from tests.support.websockets import PATH as WEBSOCKET_PATH

pytestmark = [pytest.mark.slow, pytest.mark.extended]

_COOKIE = "__Host-session"
_PAGE = "https://app.example"
_TICKETS = "/v1/me/tickets"
#: What browsers say of pages that are not listed: strangers, and some that look like a listed one.
_FOREIGN = (
    *("https://evil.example", "null", f"{_PAGE}.evil.example", f"{_PAGE}:444"),
    *("http://app.example", "https://evil.app.example", "https://APP.example", ""),
)
_SITES = ("cross-site", "same-site", "none", "")


async def _status(gateway: FaultyGateway, path: str, method: str = "GET", **headers: str) -> str:
    """Return the status with which a gateway answers the browser of u0."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    sent = {name: value for name, value in headers.items() if value}
    writer.write(request(path, method, Cookie=f"{_COOKIE}={token('u0')}", **sent))
    answer = (await reader.readuntil(b"\r\n")).decode()
    writer.close()
    return answer.split()[1]


async def _assert_refused(gateway: FaultyGateway) -> None:
    """Ask as foreign pages do: by an EventSource, a WebSocket, a form or a script."""
    for site in _SITES:
        for origin in _FOREIGN:
            who = {"Origin": origin, "Sec_Fetch_Site": site}
            assert await _status(gateway, PATH, **who) == "403", who
        who = {"Sec_Fetch_Site": site}
        assert await _status(gateway, f"{PATH}?cursor=0.0.0", **who) == "403", who
    for origin in _FOREIGN:
        # What is said of the site makes up for no origin here: it is no read.
        for site in (*_SITES, "same-origin"):
            who = {"Origin": origin, "Sec_Fetch_Site": site}
            assert await _status(gateway, WEBSOCKET_PATH, **HANDSHAKE, **who) == "403", who
            assert await _status(gateway, _TICKETS, "POST", **who) == "403", who


async def _assert_served(gateway: FaultyGateway) -> None:
    """Ask as pages do that may: listed ones, and those of the same host where they only read."""
    page = {"Origin": _PAGE, "Sec_Fetch_Site": "cross-site"}
    assert await _status(gateway, PATH, **page) == "200"
    assert await _status(gateway, PATH, Sec_Fetch_Site="same-origin") == "200"
    assert await _status(gateway, WEBSOCKET_PATH, **HANDSHAKE, **page) == "101"
    assert await _status(gateway, _TICKETS, "POST", **page) == "200"


def _issued(one: DeliveryRun) -> bool:
    with one.server.client() as client:
        return bool(client.exists(one.key_space.keys_of_user("u0").tickets("u0")))


def test_rowd11__page_of_a_foreign_origin(delivery_run: NewDeliveryRun) -> None:
    """It is refused by each way in and nothing is issued; who may is served before and after."""
    one = delivery_run(users=2)

    async def scenario() -> None:
        gateway = one.gateway(realtime__cookie=_COOKIE, realtime__allowed_origins=[_PAGE])
        async with one.leaving():
            await one.connect()
            await _assert_refused(gateway)
            assert not _issued(one)
            await _assert_served(gateway)
            assert _issued(one)
            await _assert_refused(gateway)
            await one.publish(range(20))
            await one.until_all_came()

    asyncio.run(scenario())
    one.assert_clean()
