"""Faults as a real server answers them: each has the code that decides what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_client.faults import RedisFault, Remedy, classify
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.keys import Keys
from tests.support.servers import Server

KEYS = Keys("gn", 0)


def mark(client: redis.Redis) -> Any:
    """Run a writing script."""
    return run_sync(client, calls.route_cancel(KEYS, "0" * 32, (), keep_ms=1, mark=True))


def direct(client: redis.Redis) -> Any:
    """Write without a script."""
    return client.set("{gn:0}:x", "x")


def pipelined(client: redis.Redis) -> Any:
    """Write in a pipeline that raises."""
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("{gn:0}:x", "secret")
        return pipeline.execute()


WRITES = (mark, direct, pipelined)


def fault_code(client: redis.Redis, write: Callable[[redis.Redis], Any]) -> tuple[str, Remedy]:
    """Return how the fault of a write is classified."""
    try:
        write(client)
    except RedisFault as error:
        return error.fault.code, error.fault.remedy
    except redis.RedisError as error:
        fault = classify(error)
        assert "secret" not in fault.text
        return fault.code, fault.remedy
    raise AssertionError("the write went through")


@pytest.mark.parametrize("write", WRITES)
def test_classify__a_full_server(any_server: Server, write: Callable[..., Any]) -> None:
    """A server at maxmemory is known by its code, in a script and outside."""
    with sync_client(any_server.url) as client:
        client.config_set("maxmemory", "1")
        try:
            assert fault_code(client, write) == ("OOM", Remedy.RETRY)
        finally:
            client.config_set("maxmemory", "0")


@pytest.mark.parametrize("write", WRITES)
def test_classify__a_replica(any_server: Server, write: Callable[..., Any]) -> None:
    """A replica asks for the primary to be looked up again."""
    with sync_client(any_server.url) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            assert fault_code(client, write) == ("READONLY", Remedy.RESOLVE)
        finally:
            client.replicaof("NO", "ONE")


@pytest.mark.parametrize("write", WRITES)
def test_classify__a_missing_permission(any_server: Server, write: Callable[..., Any]) -> None:
    """A missing permission is a matter of configuration."""
    with sync_client(any_server.url) as admin:
        admin.acl_setuser(
            "ann", enabled=True, nopass=True, commands=["+@all", "-set", "-hset"], keys=["*"]
        )
        with sync_client(any_server.url, username="ann") as client:
            assert fault_code(client, write) == ("NOPERM", Remedy.CONFIGURE)
        admin.acl_deluser("ann")
