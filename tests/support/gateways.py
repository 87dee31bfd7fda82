"""The gateway as a process, tokens of its users, and events for them."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import jwt
import msgpack
import redis

from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from tests.support.daemons import DaemonProcess
from tests.support.events import event_fields, write_deployment
from tests.support.servers import Server
from tests.support.streams import PATH, Follower, StreamClient, connect, request
from tests.support.wait import HANG_S, wait_until

SECRET = "a secret of users, which is long enough"
AUDIENCE = "galaxy-notify-users"
#: Of the deployment that gateways of tests serve.
KEY_SPACE = KeySpace("gn", SharedSettings(shards=2))
#: Between two events of a user, where they come all the time. A client that is away for as long as
#: a process needs to start may resume.
_PACE_S = 0.05


def claims(user: str = "u1", **changed: Any) -> dict[str, Any]:
    """Return the claims of a valid token, with these changed; None leaves one out."""
    now = time.time()
    made = {"sub": user, "aud": AUDIENCE, "iat": now, "exp": now + 600, **changed}
    return {name: value for name, value in made.items() if value is not None}


def token(user: str = "u1", *, secret: str = SECRET, **changed: Any) -> str:
    """Return a token of a user."""
    return jwt.encode(claims(user, **changed), secret, algorithm="HS256")


def authorized(user: str = "u1", **headers: str) -> bytes:
    """Return the request of a user for a stream."""
    return request(Authorization=f"Bearer {token(user)}", **headers)


class GatewayProcess(DaemonProcess):
    """A gateway on a server; settings are given as ``section__field=value``."""

    @property
    def instance(self) -> str:
        """Its name in Redis."""
        return str(self.wait_for("gateway started")["instance"])

    @property
    def url(self) -> str:
        """Where the process that was started last listens."""
        return str(self.wait_for_last("gateway started")["urls"][0])

    def client(self) -> httpx.Client:
        """Open a client of its other paths; use it in ``with``."""
        return httpx.Client(base_url=self.url, timeout=HANG_S, verify=False)

    def ready(self) -> GatewayProcess:
        """Wait until it serves users."""
        with self.client() as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, "it is ready")
        return self

    def open(self, user: str = "u1", cursor: str = "", path: str = PATH) -> StreamClient:
        """Open a stream; use it in ``with``."""
        more = {"Last_Event_ID": cursor} if cursor else {}
        sent = request(path, Authorization=f"Bearer {token(user)}", **more)
        return StreamClient(connect(self.url), sent)

    def follower(self, user: str = "u1") -> Follower:
        """Return a client that comes back; use it in ``with``."""
        return Follower(self.url, token(user))

    def metric(self, name: str) -> dict[str, float]:
        """Return the values of a metric by their labels, as the page shows them."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        found = [line.rpartition(" ") for line in lines if line.startswith(name)]
        return {labels.removeprefix(name): float(value) for labels, _, value in found}


def as_settings(**changed: Any) -> dict[str, Any]:
    """Return settings with which a gateway can be tried, with these changed; None: left out."""
    made = {
        "realtime__port": 0,
        "realtime__jwt_algorithm": "HS256",
        "realtime__jwt_secret": SECRET,
        "realtime__audience": AUDIENCE,
        "realtime__drain_ms": 0,
        "realtime__connects_per_s": 100_000,
        "log__format": "json",
        **changed,
    }
    return {name: value for name, value in made.items() if value is not None}


@contextmanager
def gateways_on(server: Server, count: int = 1, **settings: Any) -> Iterator[list[GatewayProcess]]:
    """Run gateways of one deployment while the block runs; what is left of them is killed."""
    with server.client() as client:
        write_deployment(client, shards=2)
    with ExitStack() as stack:
        made = [GatewayProcess(server, command="gateway", **as_settings(**settings))]
        while len(made) < count:
            made.append(GatewayProcess(server, command="gateway", **as_settings(**settings)))
        for one in made:
            stack.callback(shutil.rmtree, one.folder)
            stack.callback(one.kill)
        for one in made:
            one.ready()
        yield made


@contextmanager
def gateway_on(server: Server, **settings: Any) -> Iterator[GatewayProcess]:
    """Run one gateway while the block runs."""
    with gateways_on(server, **settings) as (made,):
        yield made


class Publisher:
    """Publishes events of users as daemons do, with numbers that count."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.last = 0

    def __call__(self, *users: str, **payload: Any) -> list[int]:
        """Publish an event for each of the users, with this payload; return their numbers."""
        numbers = list(range(self.last + 1, self.last + 1 + len(users)))
        for number, user in zip(numbers, users, strict=True):
            fields = event_fields(number, user)
            if payload:
                packed = msgpack.unpackb(fields["payload_bytes"]) | payload
                fields["payload_bytes"] = msgpack.packb(packed)
            self._client.xadd(KEY_SPACE.keys(number % 2).stream, fields)
        self.last += len(users)
        return numbers


@contextmanager
def publishing(server: Server, *users: str) -> Iterator[Publisher]:
    """Publish events of all users one after the other, all the time, while the block runs."""
    stop = threading.Event()
    with server.client() as client:
        send = Publisher(client)

        def publish() -> None:
            while not stop.wait(_PACE_S):
                send(*users)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield send
        finally:
            stop.set()
            thread.join()


def restart(place: GatewayProcess, how: str) -> None:
    """End a gateway as an operator or a crash does, and wait until it serves again."""
    if how == "killed":
        place.kill()
    else:
        place.signal(signal.SIGTERM)
        assert place.ended() == 0
    place.start()
    wait_until(lambda: _serves(place), "the gateway serves again")


def _serves(place: GatewayProcess) -> bool:
    try:
        with place.client() as client:
            return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
