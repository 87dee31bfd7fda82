"""The HTTP API as a process, with clients that may do this or that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import Any

import httpx

from tests.support.daemons import DaemonProcess
from tests.support.patience import patient
from tests.support.servers import Server
from tests.support.wait import HANG_S

INTENT: dict[str, Any] = {"type": "t", "producer": "p", "recipients": ["u1"]}
PATH = "/v1/notifications"
#: A client of each scope, and its token.
TOKENS = {
    name: f"{name}-{sha256(name.encode()).hexdigest()}" for name in ("shop", "ann", "grafana")
}
SCOPES = {"shop": "producer", "ann": "operator", "grafana": "read-only"}
PROBLEM = "application/problem+json"


def entry(name: str, scopes: str) -> str:
    """Return the entry of the settings for a client of TOKENS."""
    return f"{name}:{scopes}:{sha256(TOKENS[name].encode()).hexdigest()}"


def bearer(token: str) -> dict[str, str]:
    """Return the header that a client sends."""
    return {"Authorization": f"Bearer {token}"}


class ApiProcess(DaemonProcess):
    """An API on a server; settings are given as ``section__field=value``."""

    @property
    def url(self) -> str:
        """Return where the process that was started last listens."""
        return str(self.wait_for_last("http started")["urls"][0])

    def client(self, name: str = "", **options: Any) -> httpx.Client:
        """Open a client, of this name in TOKENS; use it in ``with``."""
        headers = bearer(TOKENS[name]) if name else {}
        # To load the certificates of all the world takes longer than most requests here.
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=HANG_S, verify=False, **options
        )

    def _environment(self) -> dict[str, str]:
        # A request fails where Redis does not answer in time.
        return patient(super()._environment())


@contextmanager
def api_on(server: Server, *options: str, **settings: Any) -> Iterator[ApiProcess]:
    """Run an API while the block runs; whatever is left of it then is killed."""
    settings = {"http__port": 0, **settings}
    made = ApiProcess(server, *options, command="serve", **settings)
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(made.folder)


@contextmanager
def clients_of(process: ApiProcess, *names: str) -> Iterator[dict[str, httpx.Client]]:
    """Open a client for each of these names."""
    with ExitStack() as opened:
        yield {name: opened.enter_context(process.client(name)) for name in names}


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """Return the problem that an answer is; fail where it is another one, or none."""
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), told
    assert (told["type"], told["status"]) == (f"urn:galaxy-notify:problem:{kind}", status)
    assert told["title"]
    assert told["detail"]
    assert all({"code", "message"} < set(error) for error in told["errors"])
    return told


def fields(told: dict[str, Any]) -> list[str]:
    """Return the fields that a problem names."""
    return [error["field"] for error in told["errors"]]
