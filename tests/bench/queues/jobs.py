"""Our producers and consumers of jobs: ``python -m tests.bench.queues.jobs VERB``.

They do what ``peers/scripts/queue_jobs.mjs`` does, and take the same environment. A job is a
notification for one recipient, who is named after the number of the job.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from galaxy_notify import AsyncNotifier, Intent, Notifier
from galaxy_notify.gateway import Event, GatewayConsumer
from tests.bench.queues.records import CHUNK_BYTES, READY, RECORD

_IN_FLIGHT = 64
_FLUSH_S = 0.01
_USER = "user-"


def _setting(name: str) -> str:
    return os.environ[f"BENCH_{name}"]


def _intents(*, delayed: bool = False) -> list[Intent]:
    body, jobs = sys.stdin.read(), int(_setting("JOBS"))
    rate, due_ms = float(_setting("RATE")), int(_setting("DUE_MS"))
    return [
        Intent(
            type="bench.turn",
            producer="bench",
            recipients=[f"{_USER}{number}"],
            body=body,
            data={"turn": number},
            due_at=round(due_ms + number * 1000 / rate) if delayed else None,
        )
        for number in range(jobs)
    ]


def bulk(*, delayed: bool = False) -> None:
    """Accept all in one call."""
    intents = _intents(delayed=delayed)
    with Notifier.from_url(_setting("URL")) as notifier:
        started = time.time()
        for receipt in notifier.accept_many(intents):
            if receipt.status != "accepted":
                raise RuntimeError(str(receipt))
        _print(started)


async def add() -> None:
    """Accept one by one, 64 in flight."""
    rest = iter(_intents())
    async with AsyncNotifier.from_url(_setting("URL")) as notifier:

        async def lane() -> None:
            for intent in rest:
                await notifier.accept(intent)

        started = time.time()
        await asyncio.gather(*(lane() for _ in range(_IN_FLIGHT)))
        _print(started)


async def pace() -> None:
    """Open loop: accept each at its time, whether those before were answered or not."""
    intents, rate = _intents(), float(_setting("RATE"))
    async with AsyncNotifier.from_url(_setting("URL")) as notifier:
        adding: list[asyncio.Task[object]] = []
        started = time.time()
        while len(adding) < len(intents):
            due = int((time.time() - started) * rate) + 1
            for intent in intents[len(adding) : due]:
                adding.append(asyncio.ensure_future(notifier.accept(intent)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*adding)
        _print(started)


def _print(started: float) -> None:
    print(json.dumps({"seconds": time.time() - started, "started_ms": started * 1000}))


class _Recorder:
    """Writes a record for each event, a few together."""

    def __init__(self) -> None:
        self._pipe = os.open(_setting("RECORDS"), os.O_WRONLY)
        self._chunk = bytearray()

    def record(self, number: int) -> None:
        self._chunk += RECORD.pack(number, time.time() * 1000)
        if len(self._chunk) == CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._chunk:
            os.write(self._pipe, self._chunk)
            self._chunk.clear()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.flush()


async def work(way: str) -> None:
    """Consume until a signal ends it."""
    recorder = _Recorder()

    async def handle(event: Event) -> None:
        recorder.record(int(event.user_id.removeprefix(_USER)))

    async def handle_batch(events: Sequence[Event]) -> Mapping[str, str]:
        for event in events:
            recorder.record(int(event.user_id.removeprefix(_USER)))
        return {}

    name = f"bench-{os.getpid()}"
    async with GatewayConsumer.from_url(_setting("URL"), group="bench", consumer=name) as consumer:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        flushing = asyncio.create_task(recorder.run())
        recorder.record(READY)
        await getattr(consumer, way)(handle if way == "run" else handle_batch)
        flushing.cancel()


def main() -> None:
    """Do what the verb says."""
    match sys.argv[1]:
        case "add":
            asyncio.run(add())
        case "pace":
            asyncio.run(pace())
        case "bulk":
            bulk()
        case "delay":
            bulk(delayed=True)
        case way:
            asyncio.run(work(way))


if __name__ == "__main__":
    main()
