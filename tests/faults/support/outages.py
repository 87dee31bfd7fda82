"""Ways in which a server can be away, each to be begun and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import redis

from tests.faults.support.arena import Arena
from tests.faults.support.faulty_proxy import FaultyProxy
from tests.support import refusing
from tests.support.wait import wait_until

Outage = Callable[[Arena, FaultyProxy], AbstractContextManager[None]]

# Longer than tries are counted: once the server answers, all connect again at once.
_PAUSE_MS = 18_000
_BUSY = """
local function now() local t = redis.call('TIME'); return t[1] * 1000 + t[2] / 1000 end
local till = now() + ARGV[1]
while now() < till do end
"""


@contextmanager
def killed(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server dead."""
    arena.server.kill()
    yield
    arena.server.start()


@contextmanager
def frozen(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server take connections and answer nothing."""
    arena.server.pause()
    yield
    arena.server.resume()


@contextmanager
def black_hole(_: Arena, proxy: FaultyProxy) -> Iterator[None]:
    """Have the network swallow everything."""
    with proxy.black_hole():
        yield


@contextmanager
def loading(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server load its data, and say so."""
    # While it loads a file, the server answers after every thousand commands.
    with arena.site.client.pipeline(transaction=False) as pipeline:
        for number in range(80_000):
            pipeline.set("filler", number)
        pipeline.execute()
    arena.server.kill()
    arena.server.start_loading(key_load_delay="300")
    yield
    arena.server.restart()


@contextmanager
def busy(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have somebody else's script keep the server busy."""
    with arena.server.client() as client:
        client.config_set("lua-time-limit", 50)
    over = threading.Event()
    thread = threading.Thread(target=_keep_busy, args=(arena, over))
    thread.start()
    yield
    over.set()
    thread.join()


def _keep_busy(arena: Arena, over: threading.Event) -> None:
    with arena.server.client() as client:
        while not over.is_set():
            client.eval(_BUSY, 0, "1500")


@contextmanager
def asleep(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server do nothing at all."""
    thread = threading.Thread(target=_put_to_sleep, args=(arena,))
    thread.start()
    yield
    thread.join()
    wait_until(partial(_answers, arena), "it has woken up")


def _put_to_sleep(arena: Arena) -> None:
    with arena.server.client() as client, suppress(redis.TimeoutError):
        client.execute_command("DEBUG", "SLEEP", _PAUSE_MS / 1000)


@contextmanager
def paused(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server hold every command, the one that would end it as well."""
    arena.site.client.client_pause(_PAUSE_MS, all=True)
    yield
    arena.site.client.connection_pool.disconnect()
    wait_until(partial(_answers, arena), "the pause is over")


def _answers(arena: Arena) -> bool:
    try:
        return bool(arena.site.client.ping())
    except redis.TimeoutError:
        return False


@contextmanager
def writes_paused(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server hold every write."""
    arena.site.client.client_pause(10 * _PAUSE_MS, all=False)
    yield
    arena.site.client.client_unpause()


@contextmanager
def without_replicas(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server want a replica, of which it has none."""
    arena.site.client.config_set("min-replicas-to-write", 1)
    yield
    arena.site.client.config_set("min-replicas-to-write", 0)


@contextmanager
def full_of_clients(arena: Arena, _: FaultyProxy) -> Iterator[None]:
    """Have the server take no more connections than there are of ours."""
    client = arena.site.client
    before = str(client.config_get("maxclients")["maxclients"])
    client.config_set("maxclients", 1)
    client.client_kill_filter(_type="normal", skipme=True)
    yield
    client.config_set("maxclients", before)


def refusing_by(refusal: refusing.Refusal) -> Outage:
    """Have the server refuse all writes in one of its ways."""

    @contextmanager
    def outage(arena: Arena, _: FaultyProxy) -> Iterator[None]:
        with refusal(arena.server):
            yield

    return outage


OUTAGES: dict[str, Outage] = {
    "row23_frozen": frozen,
    "row23_black_hole": black_hole,
    "row29_killed": killed,
    "row33_loading": loading,
    "row34_busy": busy,
    "row35_asleep": asleep,
    "row35_paused": paused,
    "row35_writes_paused": writes_paused,
    "row36_out_of_memory": refusing_by(refusing.out_of_memory),
    "row38_misconfigured": refusing_by(refusing.misconfigured),
    "row40_without_replicas": without_replicas,
    "row41_read_only": refusing_by(refusing.read_only),
    "row49_full_of_clients": full_of_clients,
}
