"""Gateways that are broken on purpose: each keeps its port, and may have failpoints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.gateways import GatewayProcess, as_settings
from tests.support.servers import Server, free_port


class FaultyGateway(GatewayProcess):
    """A gateway on a server; it keeps its port when it is started again."""

    def __init__(
        self, server: Server, *, failpoints: str = "", redis_url: str = "", **given: Any
    ) -> None:
        """Start it; it reaches Redis by *redis_url*, where that is not the server's own."""
        self.port = free_port()
        variables = {"GN_FAILPOINTS": failpoints} if failpoints else {}
        if redis_url:
            variables["GALAXY_NOTIFY_REDIS__URL"] = redis_url
        settings = as_settings(**{"realtime__port": self.port, "realtime__drain_ms": 500} | given)
        super().__init__(server, variables=variables, command="gateway", **settings)

    def start_again(self, failpoints: str = "") -> None:
        """Start it after its end; it fails where *failpoints* say."""
        self.variables.pop("GN_FAILPOINTS", None)
        if failpoints:
            self.variables["GN_FAILPOINTS"] = failpoints
        self.start()


@contextmanager
def faulty_gateway_on(server: Server, **given: Any) -> Iterator[FaultyGateway]:
    """Run a gateway while the block runs; whatever is left of it then is killed."""
    made = FaultyGateway(server, **given)
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(made.folder)
