"""A primary, its replicas and the sentinels that watch them, as processes of a test."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from galaxy_notify.embedded.binaries import ServerBinary
from tests.support.servers import Server, free_port
from tests.support.wait import HANG_S, wait_until

NAME = "mymaster"
_STOP_SECONDS = HANG_S


class Sentinel:
    """A sentinel process."""

    def __init__(self, binary: ServerBinary, primary_port: int, password: str) -> None:
        """Prepare a sentinel that gives a primary up once it has stood still for long."""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._binary = binary
        self._folder = tempfile.TemporaryDirectory(prefix="gn-")
        self._config = Path(self._folder.name) / "sentinel.conf"
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder.name}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary_port} 2\n"
            f"sentinel down-after-milliseconds {NAME} 4000\n"
            f"sentinel failover-timeout {NAME} 8000\n"
        )
        if password:
            with self._config.open("a") as config:
                config.write(f"requirepass {password}\nsentinel sentinel-pass {password}\n")
        self._password = password
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, again if need be."""
        self.process = subprocess.Popen(
            [str(self._binary.path), str(self._config), "--sentinel"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def ask(self, *command: str) -> Any:
        """Run a command of the sentinel's."""
        with redis.Redis(
            port=self.port, password=self._password, decode_responses=True, socket_timeout=HANG_S
        ) as client:
            run: Any = client.execute_command
            return run("SENTINEL", *command)

    def kill(self) -> None:
        """End the process as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_STOP_SECONDS)
            self.process = None

    def remove(self) -> None:
        """End the process and remove its folder."""
        self.kill()
        self._folder.cleanup()


class SentinelSet:
    """One primary, its replicas and three sentinels."""

    def __init__(
        self, binary: ServerBinary, replicas: int, stack: ExitStack, password: str
    ) -> None:
        """Prepare; everything is removed when *stack* ends."""
        self.servers: list[Server] = []
        for _ in range(1 + replicas):
            options = {"repl_diskless_sync_delay": "0", "appendonly": "yes"}
            if self.servers:
                options["replicaof"] = f"127.0.0.1 {self.servers[0].port}"
            self.servers.append(Server(binary, tcp=True, **options))
            stack.callback(self.servers[-1].remove)
        self.sentinels = [Sentinel(binary, self.servers[0].port, password) for _ in range(3)]
        for sentinel in self.sentinels:
            stack.callback(sentinel.remove)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that lead to the primary."""
        addresses = [sentinel.address for sentinel in self.sentinels]
        return {"redis__sentinels": addresses, "redis__sentinel_master": NAME}

    def start(self) -> None:
        """Start everything and wait until a failover would succeed."""
        for server in self.servers:
            server.start()
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(self._is_watched, "every sentinel sees the others and the replicas")

    def primary(self) -> Server:
        """Return the server that the sentinels name."""
        return self._by_port(self._named()[0])

    def others(self) -> list[Server]:
        """Return the servers that are not the primary."""
        primary = self.primary()
        return [server for server in self.servers if server is not primary]

    def force_failover(self) -> Server:
        """Have a replica promoted while the primary lives; return the new one."""
        before = self._named()
        # One that is begun may be given up, as by a sentinel that found no time for it.
        wait_until(lambda: self._begun(before), "a failover is begun")
        return self.promoted(before)

    def promoted(self, before: list[int]) -> Server:
        """Wait until all living sentinels name another primary, which takes writes."""
        wait_until(
            lambda: len(set(self._named())) == 1 and self._named()[0] not in before,
            "the sentinels name another primary",
        )
        server = self.primary()
        wait_until(lambda: role_of(server) == "master", "it is the primary")
        return server

    def named(self) -> list[int]:
        """Return the ports that the living sentinels name."""
        return self._named()

    def _named(self) -> list[int]:
        living = [sentinel for sentinel in self.sentinels if sentinel.process]
        return [int(one.ask("GET-MASTER-ADDR-BY-NAME", NAME)[1]) for one in living]

    def _begun(self, before: list[int]) -> bool:
        if set(self._named()) != set(before):
            return True
        living = next(sentinel for sentinel in self.sentinels if sentinel.process)
        # One is under way, or no replica is good enough yet.
        with suppress(redis.ResponseError):
            living.ask("FAILOVER", NAME)
        return False

    def _by_port(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def _is_watched(self) -> bool:
        replicas, others = len(self.servers) - 1, len(self.sentinels) - 1
        return all(_sees(sentinel, replicas, others) for sentinel in self.sentinels)


def _sees(sentinel: Sentinel, replicas: int, others: int) -> bool:
    try:
        states = [_pairs(state) for state in sentinel.ask("REPLICAS", NAME)]
        known = sentinel.ask("SENTINELS", NAME)
    except redis.RedisError:
        return False
    linked = [state for state in states if state.get("master-link-status") == "ok"]
    return len(known) == others and len(linked) == replicas


def _pairs(told: Any) -> dict[str, str]:
    return told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))


def role_of(server: Server) -> str:
    """Return what a server says it is; empty while it does not answer."""
    try:
        with server.client(decode=True) as client:
            return str(client.role()[0])
    except redis.RedisError:
        return ""


@contextmanager
def watched(binary: ServerBinary, replicas: int = 2, password: str = "") -> Iterator[SentinelSet]:
    """Run a primary with replicas and three sentinels, with a *password* of their own."""
    with ExitStack() as stack:
        made = SentinelSet(binary, replicas, stack, password)
        made.start()
        yield made
