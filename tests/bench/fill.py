"""Accept a backlog or a schedule, from this process or, where it is large, from several.

As a process: ``python -m tests.bench.fill URL LOAD``, the load as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from itertools import islice

import redis

from galaxy_notify import Intent, Notifier
from tests.bench.bench_run import ensure_deployment
from tests.bench.checkout import HERE, Checkout
from tests.bench.load import Load
from tests.bench.processes import daemons, running
from tests.support.wait import wait_until

_LARGE = 400_000
_CHUNK = 20_000
_PATIENCE_S = 600
_START_S = 60


def fill(url: str, load: Load, checkout: Checkout = HERE) -> float:
    """Accept everything and return the notifications a second; a large load takes two processes.

    Another commit accepts its own load, in a process of its own: what it stores may differ.
    """
    found(url, checkout)
    started = time.perf_counter()
    if checkout != HERE:
        _fill_by(checkout, url, load)
    elif load.notifications >= _LARGE:
        _fill_beside(url, load)
    else:
        _fill_here(url, load)
    return load.notifications / (time.perf_counter() - started)


def found(url: str, checkout: Checkout = HERE) -> None:
    """Found a deployment; that of another commit is founded by its daemon, as an operator does."""
    if checkout == HERE:
        ensure_deployment(url)
        return
    with redis.Redis.from_url(url) as client, daemons(url, of=checkout) as (daemon,):

        def is_there() -> bool:
            daemon.alive()
            return bool(client.exists("{gn:0}:meta"))

        wait_until(is_there, "the deployment is there", _START_S)


def _fill_here(url: str, load: Load) -> None:
    with Notifier.from_url(url) as notifier:
        _accept(notifier, load.intents())


def _accept(notifier: Notifier, intents: Iterable[Intent]) -> None:
    refused = [r for r in notifier.accept_many(intents) if r.status != "accepted"]
    if refused:
        raise RuntimeError(f"{len(refused)} of the load refused: {refused[0]}")


def _fill_by(checkout: Checkout, url: str, load: Load) -> None:
    command = ["tests.bench.acceptor", url, "fill", json.dumps(asdict(load))]
    with running(*command, of=checkout) as process:
        process.wait(_PATIENCE_S)


def _fill_beside(url: str, load: Load) -> None:
    parts = [replace(load, first=load.first + n, step=2) for n in range(2)]
    command = [sys.executable, "-m", "tests.bench.fill", url]
    processes = [
        subprocess.Popen([*command, json.dumps(asdict(part))], stdout=subprocess.DEVNULL)
        for part in parts
    ]
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        raise RuntimeError(f"filling ended with {codes}")


def main() -> None:
    """Accept one process's share, in chunks: all its receipts would not fit into memory."""
    own = Load(**json.loads(sys.argv[2]))
    with Notifier.from_url(sys.argv[1]) as notifier:
        rest = own.intents()
        while chunk := list(islice(rest, _CHUNK)):
            _accept(notifier, chunk)


if __name__ == "__main__":
    main()
