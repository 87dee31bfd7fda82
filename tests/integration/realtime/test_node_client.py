"""A client in another language: fetch of Node reads and resumes a stream."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.gateways import Publisher, gateway_on, token
from tests.support.requirements import requires_program
from tests.support.servers import Server
from tests.support.streams import PATH
from tests.support.wait import HANG_S

_SCRIPT = Path(__file__).parents[2] / "support" / "stream_reader.mjs"


@requires_program("node")
def test_fetch__reads_a_stream_over_its_rotations(server: Server) -> None:
    """It has every event once and in order, over connections that end and begin again."""
    with (
        server.client() as client,
        # A client that is slow to come back misses no more than the list holds.
        gateway_on(server, realtime__max_age_ms=1000, realtime__history=300) as gateway,
        subprocess.Popen(
            ["node", str(_SCRIPT), f"{gateway.url}{PATH}", token(), "203"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as node,
    ):
        publish = Publisher(client)
        assert node.stderr is not None
        assert node.stderr.readline() == "ready\n"
        for _ in range(100):
            publish("u1", "u1")
        # It reads on until it has come back: the last events are published behind a rotation.
        while '"rotate"' not in "".join(gateway.metric("galaxy_notify_realtime_ended_total")):
            assert node.poll() is None
        publish("u1", "u1", "u1")
        out, err = node.communicate(timeout=HANG_S)
        assert node.returncode == 0, err
        seen = json.loads(out)
    assert (seen["status"], seen["type"]) == (200, "text/event-stream; charset=utf-8")
    assert seen["offsets"] == list(range(1, 204))
    assert sorted(seen["numbers"]) == list(range(1, 204))
    assert seen["kinds"].count("hello") > 1
    assert set(seen["endings"]) == {"rotate"}
    assert "reset" not in seen["kinds"]
