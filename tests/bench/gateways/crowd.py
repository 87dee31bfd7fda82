"""The clients of a trial, in a process of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from tests.bench.checkout import HERE, ROOT
from tests.bench.gateways.crowd_process import Plan


class Crowd:
    """Has the process of the clients do something, and returns its answer.

    Raises `RuntimeError` where an event did not arrive at its client, or arrived twice.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def connect(self, count: int) -> None:
        """Connect so many more clients."""
        self._ask("connect", count)

    def expect(self, first: int, count: int) -> dict[str, Any]:
        """Wait for events; return frames, the time of the last one, and percentiles in ms."""
        return self._ask("expect", first, count)

    def leave(self) -> None:
        """Close all connections; the clients stay away."""
        self._ask("leave")

    def come_back(self) -> None:
        """Have them connect again, to the next process each."""
        self._ask("come_back")

    def returned(self, count: int) -> dict[str, Any]:
        """Wait until clients are back; return when the last one was, and percentiles in s."""
        return self._ask("returned", count)

    def _ask(self, name: str, *numbers: int) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, *numbers]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the clients ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


@contextmanager
def crowd(plan: Plan) -> Iterator[Crowd]:
    """Run the clients of a plan; none is connected yet."""
    command = HERE.command("tests.bench.gateways.crowd_process", json.dumps(asdict(plan)))
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Crowd(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
