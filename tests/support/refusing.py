"""Servers that answer and yet take no writes: what a test does to them, and undoes again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers import Server
from tests.support.wait import wait_until

Refusal = Callable[[Server], AbstractContextManager[None]]


@contextmanager
def out_of_memory(server: Server) -> Iterator[None]:
    """Have the server answer OOM."""
    with server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


@contextmanager
def misconfigured(server: Server) -> Iterator[None]:
    """Have the server answer MISCONF: its last snapshot has failed."""
    with server.client() as client:
        client.set("saved", "x")
        client.config_set("rdb-key-save-delay", 10_000_000)
        client.config_set("save", "3600 1000000")
        client.bgsave()
        os.kill(_child_of(server.pid), signal.SIGKILL)
        wait_until(lambda: _last_save(client) == "err", "the snapshot has failed")
        try:
            yield
        finally:
            client.config_set("save", "")
            client.config_set("rdb-key-save-delay", 0)
            client.bgsave()
            wait_until(lambda: _last_save(client) == "ok", "a snapshot has succeeded")


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    """Have the server answer READONLY: it has become a replica of one that is not there."""
    with server.client() as client:
        client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


def _child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_until(children.read_text, "the server has a child").split()[0])


def _last_save(client: Any) -> str:
    return str(client.info("persistence")["rdb_last_bgsave_status"])
