"""Row E5: URLs and names that lead inside. What counts are the connections that arrive there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.resolver import LookUp, Resolver
from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.errors import InvalidEndpoint
from tests.support.wait import until

INSIDE = "127.0.0.1"
#: Allowed, on the same port: a stand-in for an address outside.
OUTSIDE = "127.0.0.2"
#: What the tests may connect to at most: nothing of them leaves the machine.
ALL_HERE = ("127.0.0.0/8", "0.0.0.0/8", "::1/128")
_FAR_S = 600.0
_TLS = ssl.create_default_context()

#: ``%s`` is the port of the listeners.
URLS = (
    *("http://127.0.0.1:%s/", "HTTP://127.0.0.1:%s", "http://127.0.0.1:0%s/", "//127.0.0.1:%s/"),
    *("http://127.1:%s/", "http://127.0.1:%s/", "http://0x7f.1:%s/", "http://0x7f.0.0.0x1:%s/"),
    *("http://0x7f000001:%s/", "http://2130706433:%s/", "http://017700000001:%s/"),
    *("http://0177.0.0.1:%s/", "http://127.0.0.01:%s/", "http://127.0.0.1.:%s/", "http://0:%s/"),
    *("http://0.0.0.0:%s/", "http://127.0.0.1%%00:%s/", "http://127.0.0.1 :%s/"),
    *("http://127.0.0.1\t:%s/", "http://127.0.0.1\n:%s/", " http://127.0.0.1:%s/"),
    *("http://[::1]:%s/", "http://[::]:%s/", "http://[0:0:0:0:0:0:0:1]:%s/", "http://::1:%s/"),
    *("http://[::ffff:127.0.0.1]:%s/", "http://[::ffff:7f00:1]:%s/", "http://[::127.0.0.1]:%s/"),
    *("http://[0:0:0:0:0:ffff:7f00:1]:%s/", "http://[::FFFF:7F00:0001]:%s/"),
    *("http://[::ffff:0:127.0.0.1]:%s/", "http://[64:ff9b::7f00:1]:%s/"),
    *("http://[64:ff9b::127.0.0.1]:%s/", "http://[64:ff9b:1::7f00:1]:%s/"),
    *("http://[2002:7f00:1::]:%s/", "http://[::1%%25lo]:%s/", "http://[fe80::1%%25lo]:%s/"),
    *("http://[127.0.0.1]:%s/", "http://[::1].:%s/", "http://[::1]x:%s/", "http://[]:%s/"),
    *("http://localhost:%s/", "http://LocalHost:%s/", "http://localhost.:%s/"),
    *("http://localhost.localdomain:%s/", "http://.localhost:%s/", "http://localhost..:%s/"),
    # Other alphabets and forms of the same letters.
    *("http://１２７.0.0.1:%s/", "http://127。0。0。1:%s/", "http://127．0．0．1:%s/"),  # noqa: RUF001
    *("http://ⓛocalhost:%s/", "http://loca\u00adlhost:%s/", "http://localho\u017ft:%s/"),
    *("http://xn--localhost-:%s/", "http://%%6cocalhost:%s/", "http://①②⑦.0.0.1:%s/"),
    # A user, or what one program reads as a user and another as a host.
    *("http://ann@127.0.0.1:%s/", "http://ann:pw@127.0.0.1:%s/", "http://@127.0.0.1:%s/"),
    *("http://127.0.0.2@127.0.0.1:%s/", "http://127.0.0.2:443@127.0.0.1:%s/"),
    *("http://127.0.0.2%%40127.0.0.1:%s/", "http://127.0.0.2\\@127.0.0.1:%s/"),
    *("http://127.0.0.2#@127.0.0.1:%s/", "http://127.0.0.2;@127.0.0.1:%s/"),
    *("http://127.0.0.1:%s\\@127.0.0.2/", "http://127.0.0.2/../@127.0.0.1:%s/"),
    *("http://127.0.0.1:%s:443/", "http://127.0.0.1:+%s/", "http://127.0.0.1:%s@/"),
    *(
        "http:127.0.0.1:%s/",
        "http:/127.0.0.1:%s/",
        "http:///127.0.0.1:%s/",
        "http:\\\\127.0.0.1:%s",
    ),
    *("ftp://127.0.0.1:%s/", "gopher://127.0.0.1:%s/_x", "ws://127.0.0.1:%s/"),
    *("file:///127.0.0.1:%s", "unix://127.0.0.1:%s", "data:127.0.0.1:%s", "127.0.0.1:%s", "%s"),
)
#: What a name server may answer.
ANSWERS = (
    *("127.0.0.1", "127.0.0.1 ", "127.0.0.1\0", "127.1", "0x7f.1", "0x7f000001", "2130706433"),
    *("0177.0.0.1", "0.0.0.0", "0", "localhost", "", "::1", "::", "::1%lo", "fe80::1%lo"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::127.0.0.1", "64:ff9b:1::7f00:1", "2002:7f00:1::"),
    *("2001:0:7f00:1::", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1"),
    *("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "224.0.0.1", "255.255.255.255"),
)


@dataclass
class Listeners:
    """Listeners on one port: those inside count who comes, the one outside answers."""

    port: int
    inside: int = 0
    outside: int = 0
    open: int = 0
    answer: bytes = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection inside."""
        self.inside += 1
        await self._answer(reader, writer)

    async def stay_out(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection outside."""
        self.outside += 1
        await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with suppress(EOFError, OSError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer.replace(b"PORT", str(self.port).encode()))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.open -= 1


@asynccontextmanager
async def listening() -> AsyncIterator[Listeners]:
    """Listen inside, on IPv4 and IPv6, and outside, on one port."""
    first = await asyncio.start_server(lambda r, w: found.enter(r, w), INSIDE, 0)
    found = Listeners(first.sockets[0].getsockname()[1])
    servers = [first, await asyncio.start_server(found.stay_out, OUTSIDE, found.port)]
    if has_ipv6():
        servers.append(await asyncio.start_server(found.enter, "::1", found.port))
    try:
        yield found
    finally:
        for server in servers:
            server.close()
        await until(lambda: found.open == 0, "all connections are closed")


def has_ipv6() -> bool:
    """Tell whether this machine has the loopback address of IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def look_up_here(name: str) -> Sequence[str]:
    """Look up a name of this machine; there are no others."""
    if name.startswith("localhost"):
        return [INSIDE, "::1"]
    raise OSError(f"{name} is unknown")


def answering(*addresses: str) -> LookUp:
    """Return a name server that always answers the same."""
    return lambda _: addresses


async def attempted(
    url: str, port: int, allow: Sequence[str], look_up: LookUp | None = None
) -> Attempt | None:
    """Send to a URL as a worker does; None if it is refused before."""
    guard = Guard(allow, [port], require_https=False)
    sender = WebhookSender(guard, Resolver(look_up or look_up_here), _TLS)
    try:
        endpoint = guard.endpoint(url)
        deadline = asyncio.get_running_loop().time() + _FAR_S
        return await sender.send(endpoint, b"{}", {}, deadline)
    except InvalidEndpoint:
        return None
    finally:
        await sender.close()


def run(scenario: Callable[[Listeners], Awaitable[None]]) -> None:
    """Run a scenario beside listeners."""

    async def beside() -> None:
        async with listening() as listeners:
            await scenario(listeners)

    asyncio.run(beside())


def test_rowe5__urls_that_lead_inside() -> None:
    """Each is refused, or its attempt is blocked; none arrives."""

    async def scenario(listeners: Listeners) -> None:
        for url in URLS:
            made = await attempted(url % listeners.port, listeners.port, [f"{OUTSIDE}/32"])
            assert made is None or made.outcome == "permanent" or made.reason == "dns", url
        assert (listeners.inside, listeners.outside) == (0, 0)

    run(scenario)


def test_rowe5__names_that_lead_inside() -> None:
    """Whatever a name server answers, and in whatever form."""

    async def scenario(listeners: Listeners) -> None:
        for answer in ANSWERS:
            url = f"http://hook.example:{listeners.port}/"
            made = await attempted(url, listeners.port, [], answering(answer))
            assert made
            assert (made.outcome, made.reason) == ("permanent", "blocked"), answer
            assert answer not in made.detail or not answer
        assert (listeners.inside, listeners.outside) == (0, 0)

    run(scenario)


def test_rowe5__names_that_lead_inside_and_outside() -> None:
    """The address outside is connected to, wherever it stands among the others."""

    async def scenario(listeners: Listeners) -> None:
        url = f"http://hook.example:{listeners.port}/"
        for answer in ANSWERS:
            for mixed in ([answer, OUTSIDE], [OUTSIDE, answer], [answer, OUTSIDE, answer, "::1"]):
                made = await attempted(url, listeners.port, [f"{OUTSIDE}/32"], answering(*mixed))
                assert made
                assert made.outcome == "delivered"
        assert (listeners.inside, listeners.outside) == (0, 3 * len(ANSWERS))

    run(scenario)


def test_rowe5__name_server_that_changes_its_answer() -> None:
    """The address is checked where its socket is made, so there is no time between the two."""

    async def scenario(listeners: Listeners) -> None:
        answers = cycle([OUTSIDE, INSIDE])
        url = f"http://hook.example:{listeners.port}/"
        outcomes = []
        for _ in range(10):
            allow = [f"{OUTSIDE}/32"]
            made = await attempted(url, listeners.port, allow, lambda _: [next(answers)])
            assert made
            outcomes.append(made.outcome)
        assert outcomes == ["delivered", "permanent"] * 5
        assert (listeners.inside, listeners.outside) == (0, 5)

    run(scenario)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_rowe5__redirect_to_the_inside(status: int) -> None:
    """It is an answer that is not 2xx, and nothing more."""

    async def scenario(listeners: Listeners) -> None:
        listeners.answer = (
            f"HTTP/1.1 {status} Moved\r\nLocation: http://{INSIDE}:PORT/\r\n"
            "Refresh: 0; url=http://127.0.0.1:PORT/\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        url = f"http://{OUTSIDE}:{listeners.port}/"
        made = await attempted(url, listeners.port, [f"{OUTSIDE}/32"])
        assert made
        assert (made.outcome, made.status) == ("transient", status)
        assert (listeners.inside, listeners.outside) == (0, 1)

    run(scenario)


def test_rowe5__proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make connections that the guard does not see."""

    async def scenario(listeners: Listeners) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://{INSIDE}:{listeners.port}")
            monkeypatch.setenv(name.upper(), f"http://{INSIDE}:{listeners.port}")
        url = f"http://{OUTSIDE}:{listeners.port}/"
        made = await attempted(url, listeners.port, [f"{OUTSIDE}/32"])
        assert made
        assert made.outcome == "delivered"
        assert (listeners.inside, listeners.outside) == (0, 1)

    run(scenario)


def test_rowe5__ports_that_are_not_allowed() -> None:
    """Refused before anything is connected."""

    async def scenario(listeners: Listeners) -> None:
        guard = Guard(ALL_HERE)
        for url in (f"https://{OUTSIDE}:{listeners.port}/", "https://hook.example:22/"):
            with pytest.raises(InvalidEndpoint, match="port"):
                guard.endpoint(url)
        assert (listeners.inside, listeners.outside) == (0, 0)

    run(scenario)


def test_rowe5__without_a_guard_they_arrive() -> None:
    """The listeners count: what is blocked above would have come in."""

    async def scenario(listeners: Listeners) -> None:
        arrived = []
        for url in URLS:
            before = listeners.inside
            await attempted(url % listeners.port, listeners.port, ALL_HERE)
            arrived += [url] * (listeners.inside > before)
        four = {"http://127.0.0.1:%s/", "HTTP://127.0.0.1:%s", "http://[::ffff:127.0.0.1]:%s/"}
        assert {*four, "http://localhost:%s/", "http://0.0.0.0:%s/"} <= {*arrived}
        assert not has_ipv6() or "http://[::1]:%s/" in arrived

    run(scenario)
