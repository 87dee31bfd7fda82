"""The helpers that all other tests rest on."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.servers import Server, main_server, running
from tests.support.wait import until, wait_until


def test_server__is_empty_and_on_its_own_socket(any_server: Server) -> None:
    """Every flavour found on this machine starts, answers and is empty."""
    with any_server.client(decode=True) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
    any_server.flush()
    with any_server.client() as client:
        assert client.dbsize() == 0


def test_server__comes_back_with_its_data() -> None:
    """A killed server with an append-only file comes back with what it had."""
    with running(main_server(), tcp=True, appendonly="yes") as server:
        with server.client() as client:
            client.set("kept", "1")
        server.kill()
        server.start()
        with server.client() as client:
            assert client.get("kept") == b"1"


def test_wait_until__names_what_it_waited_for() -> None:
    """A wait that fails says for what, sync or not."""
    assert wait_until(lambda: "answer", "never") == "answer"
    with pytest.raises(AssertionError, match="the moon"):
        wait_until(lambda: False, "the moon", timeout=0.02)

    async def no() -> bool:
        return False

    with pytest.raises(AssertionError, match="the sun"):
        asyncio.run(until(no, "the sun", timeout=0.02))
