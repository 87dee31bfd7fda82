"""Ways in which a server can be away, each to be begun and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import redis

from tests.faults.support.fault_run import FaultRun
from tests.faults.support.faulty_proxy import FaultyProxy
from tests.support import refusing
from tests.support.wait import wait_until

Outage = Callable[[FaultRun, FaultyProxy], AbstractContextManager[None]]

# Longer than tries are counted: once the server answers, all connect again at once.
_PAUSE_MS = 18_000
_BUSY = """
local function now() local t = redis.call('TIME'); return t[1] * 1000 + t[2] / 1000 end
local till = now() + ARGV[1]
while now() < till do end
"""


@contextmanager
def killed(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server dead."""
    fault_run.server.kill()
    yield
    fault_run.server.start()


@contextmanager
def frozen(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server take connections and answer nothing."""
    fault_run.server.pause()
    yield
    fault_run.server.resume()


@contextmanager
def black_hole(_: FaultRun, proxy: FaultyProxy) -> Iterator[None]:
    """Have the network swallow everything."""
    with proxy.black_hole():
        yield


@contextmanager
def loading(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server load its data, and say so."""
    # While it loads a file, the server answers after every thousand commands.
    with fault_run.deployment.client.pipeline(transaction=False) as pipeline:
        for number in range(80_000):
            pipeline.set("filler", number)
        pipeline.execute()
    fault_run.server.kill()
    fault_run.server.start_loading(key_load_delay="300")
    yield
    fault_run.server.restart()


@contextmanager
def busy(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have somebody else's script keep the server busy."""
    with fault_run.server.client() as client:
        client.config_set("lua-time-limit", 50)
    over = threading.Event()
    thread = threading.Thread(target=_keep_busy, args=(fault_run, over))
    thread.start()
    yield
    over.set()
    thread.join()


def _keep_busy(fault_run: FaultRun, over: threading.Event) -> None:
    with fault_run.server.client() as client:
        while not over.is_set():
            client.eval(_BUSY, 0, "1500")


@contextmanager
def asleep(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server do nothing at all."""
    thread = threading.Thread(target=_put_to_sleep, args=(fault_run,))
    thread.start()
    yield
    thread.join()
    wait_until(partial(_answers, fault_run), "it has woken up")


def _put_to_sleep(fault_run: FaultRun) -> None:
    with fault_run.server.client() as client, suppress(redis.TimeoutError):
        client.execute_command("DEBUG", "SLEEP", _PAUSE_MS / 1000)


@contextmanager
def paused(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server hold every command, the one that would end it as well."""
    fault_run.deployment.client.client_pause(_PAUSE_MS, all=True)
    yield
    fault_run.deployment.client.connection_pool.disconnect()
    wait_until(partial(_answers, fault_run), "the pause is over")


def _answers(fault_run: FaultRun) -> bool:
    try:
        return bool(fault_run.deployment.client.ping())
    except redis.TimeoutError:
        return False


@contextmanager
def writes_paused(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server hold every write."""
    fault_run.deployment.client.client_pause(10 * _PAUSE_MS, all=False)
    yield
    fault_run.deployment.client.client_unpause()


@contextmanager
def without_replicas(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server want a replica, of which it has none."""
    fault_run.deployment.client.config_set("min-replicas-to-write", 1)
    yield
    fault_run.deployment.client.config_set("min-replicas-to-write", 0)


@contextmanager
def full_of_clients(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
    """Have the server take no more connections than there are of ours."""
    client = fault_run.deployment.client
    before = str(client.config_get("maxclients")["maxclients"])
    client.config_set("maxclients", 1)
    client.client_kill_filter(_type="normal", skipme=True)
    yield
    client.config_set("maxclients", before)


def refusing_by(refusal: refusing.Refusal) -> Outage:
    """Have the server refuse all writes in one of its ways."""

    @contextmanager
    def outage(fault_run: FaultRun, _: FaultyProxy) -> Iterator[None]:
        with refusal(fault_run.server):
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
