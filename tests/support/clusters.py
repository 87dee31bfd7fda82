"""A Redis Cluster of three primaries with a replica each, as processes of a test."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Any

import redis
from redis.crc import key_slot

from galaxy_notify.embedded.binaries import ServerBinary
from tests.support.servers import Server, free_port
from tests.support.wait import wait_until

_SLOTS = 16384
_BUS = 10_000
_KEYS_AT_ONCE = 100
#: After which a node is given up, and replaced: on a busy machine each may stand still for a while.
_AWAY_MS = 6000


class Cluster:
    """A running cluster; node 0 to 2 are its first primaries."""

    def __init__(self, binary: ServerBinary, stack: ExitStack) -> None:
        """Prepare six nodes; everything is removed when *stack* ends."""
        self.nodes: list[Server] = []
        for _ in range(6):
            node = Server(
                binary,
                port=str(_port_with_bus()),
                cluster_enabled="yes",
                cluster_node_timeout=str(_AWAY_MS),
                cluster_require_full_coverage="no",
                appendonly="yes",
                repl_diskless_sync_delay="0",
            )
            stack.callback(node.remove)
            self.nodes.append(node)

    @property
    def url(self) -> str:
        """Return the URL of one node."""
        return self.nodes[0].tcp_url

    def start(self) -> None:
        """Start all nodes, join them and wait until every one sees the others well."""
        for node in self.nodes:
            node.start()
        share = _SLOTS // 3 + 1
        for number, node in enumerate(self.nodes):
            if number < 3:
                mine = range(number * share, min((number + 1) * share, _SLOTS))
                self.ask(node, "ADDSLOTS", *mine)
            # As the usual tools do. Nodes with equal epochs settle that later, by a higher one: if
            # it settles while a slot moves, the old owner may take it back, and its keys are gone.
            self.ask(node, "SET-CONFIG-EPOCH", number + 1)
            self.ask(node, "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(self._knows(node, 6) for node in self.nodes), "all have met")
        for number in range(3):
            follow = partial(self._follows, self.nodes[number + 3], self.id_of(self.nodes[number]))
            wait_until(follow, "a replica follows")
        wait_until(lambda: all(self._is_well(node) for node in self.nodes), "it is well")

    def ask(self, node: Server, *command: Any) -> Any:
        """Run a CLUSTER command on a node."""
        with node.client(decode=True) as client:
            run: Any = client.execute_command
            return run("CLUSTER", *command)

    def id_of(self, node: Server) -> str:
        """Return the id of a node."""
        return str(self.ask(node, "MYID"))

    def owner(self, key: str) -> Server:
        """Return the primary that serves a key, as a living node sees it."""
        slot = key_slot(key.encode())
        for first, last, primary, *_ in self._slots():
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"nobody serves {key}")

    def follows(self, node: Server, primary: Server) -> bool:
        """Tell whether a node is a replica of this primary."""
        with node.client(decode=True) as client:
            role: Any = client.role()
        return bool(role[0] == "slave" and int(role[2]) == primary.port)

    def move_slot(self, key: str, target: Server) -> None:
        """Move the slot of a key to another primary as the usual tools do, key by key."""
        slot, source = key_slot(key.encode()), self.owner(key)
        self.ask(target, "SETSLOT", slot, "IMPORTING", self.id_of(source))
        self.ask(source, "SETSLOT", slot, "MIGRATING", self.id_of(target))
        with source.client() as client:
            run: Any = client.execute_command
            while names := run("CLUSTER", "GETKEYSINSLOT", slot, _KEYS_AT_ONCE):
                run("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
        for node in (target, source, *self.nodes):
            if self._is_primary(node):
                self.ask(node, "SETSLOT", slot, "NODE", self.id_of(target))

    def other_primary(self, than: Server) -> Server:
        """Return a primary that is not this one."""
        ports = {primary[1] for _, _, primary, *_ in self._slots()} - {than.port}
        return next(node for node in self.nodes if node.port in ports)

    def taken_over(self, key: str, before: Server) -> Server:
        """Wait until another node serves a key, and return it."""
        wait_until(lambda: self.owner(key) is not before, f"another node serves {key}")
        return self.owner(key)

    def flush(self) -> None:
        """Forget all data."""
        for node in self.nodes:
            if self._is_primary(node):
                with node.client() as client:
                    client.flushall()

    def wait_until_well(self) -> None:
        """Wait until every node sees all slots served."""
        wait_until(lambda: all(self._is_well(node) for node in self.nodes), "it is well")

    def _slots(self) -> Sequence[Any]:
        return wait_until(self._told_slots, "a node tells who serves what")

    def _told_slots(self) -> Sequence[Any]:
        for node in self.nodes:
            try:
                with closing(redis.Redis(port=node.port, socket_timeout=2)) as client:
                    run: Any = client.execute_command
                    reply = run("CLUSTER", "SLOTS")
            except redis.RedisError:
                continue
            if reply:
                return list(reply)
        return []

    def _is_primary(self, node: Server) -> bool:
        with node.client(decode=True) as client:
            return bool(client.role()[0] == "master")

    def _knows(self, node: Server, number: int) -> bool:
        with node.client(decode=True) as client:
            nodes = str(client.execute_command("CLUSTER", "NODES"))
        return nodes.count("connected") == number and "handshake" not in nodes

    def _follows(self, replica: Server, primary: str) -> bool:
        try:
            self.ask(replica, "REPLICATE", primary)
        except redis.ResponseError:  # it has not heard of the primary yet
            return False
        return True

    def _is_well(self, node: Server) -> bool:
        with node.client(decode=True) as client:
            state = str(client.execute_command("CLUSTER", "INFO"))
            link = client.info("replication")
            pairs = _has_pairs(client)
        linked = link["role"] == "master" or link["master_link_status"] == "up"
        return (
            linked and pairs and "cluster_state:ok" in state and "cluster_slots_ok:16384" in state
        )


def _has_pairs(client: redis.Redis) -> bool:
    """Tell whether a node sees each replica in the shard of its primary.

    It hears of the two in any order. Killed in between it has them apart in nodes.conf, and
    Valkey 8.1 aborts when it reads that.
    """
    run: Any = client.execute_command
    try:
        shards = run("CLUSTER", "SHARDS")
    except redis.ResponseError:  # older than 7.0: such a server knows no shards
        return True
    return sorted(len(_field(shard, "nodes")) for shard in shards) == [2, 2, 2]


def _field(pairs: Any, name: str) -> Any:
    """Return a field of a reply, which some protocols give as a mapping."""
    return pairs[name] if isinstance(pairs, dict) else pairs[pairs.index(name) + 1]


def _port_with_bus() -> int:
    """Return a free port whose bus port is free as well."""
    while True:
        port = free_port()  # nobody else is given it, nor the bus port that belongs to it
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port + _BUS))
            return port


@contextmanager
def clustered(binary: ServerBinary) -> Iterator[Cluster]:
    """Run a cluster while the block runs."""
    with ExitStack() as stack:
        made = Cluster(binary, stack)
        made.start()
        yield made
