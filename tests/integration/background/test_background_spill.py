"""The background notifier with a spill: what does not fit waits on the disk, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.background.spill import Spill
from galaxy_notify.embedded.binaries import ServerBinary
from galaxy_notify.errors import ConfigurationError
from tests.support.background import NOWHERE, background, drained, enqueue, events, is_exact
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.program import ROOT, environment
from tests.support.proxy import proxied
from tests.support.servers import Server, each_server, running
from tests.support.spills import PAGE, overwritten
from tests.support.telemetry import Lines
from tests.support.wait import HANG_S, wait_until

MANY = [f"u{n:05}" for n in range(3000)]


@pytest.fixture(params=each_server())
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a server of the test's own, that keeps what it has taken."""
    binary: ServerBinary = request.param
    with running(binary, appendonly="yes") as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path for the spill."""
    return tmp_path / "spill"


def test_outage__loses_nothing_beyond_the_queue(
    own_server: Server, deploy: Deploy, path: Path
) -> None:
    """Thirty times what fits into the queue is accepted once Redis is back, and the file empty."""
    deployment = deploy(own_server)
    with background(own_server.url, capacity=100, on_full="spill", spill_path=path) as notifier:
        enqueue(notifier, "before")
        drained(notifier)
        own_server.kill()
        ids = []
        for start in range(0, 3000, 40):
            ids += enqueue(notifier, *MANY[start : start + 40])
            wait_until(lambda: notifier.stats().queued < 60, "it is on the disk")
        assert None not in ids
        assert notifier.stats().spilled > 2000
        own_server.start()
        drained(notifier)
        assert notifier.stats().accepted == 3001
        wait_until(lambda: path.stat().st_size <= 2 * PAGE, "the file is empty")
    assert deployment.total("accepted") == 3001
    assert {member.partition("/")[0] for member in deployment.routes()} >= set(ids)


def test_spill__comes_back_in_order(server: Server, deploy: Deploy, path: Path) -> None:
    """What was handed in first is sent first, through queue and file alike."""
    deploy(server)
    sent: list[str] = []
    options = {"capacity": 100, "on_full": "spill", "spill_path": path, "batch": 50}
    options |= {"on_refused": lambda fields, _: sent.extend(fields["recipients"])}
    with proxied(server.socket) as proxy, background(proxy.url, **options) as notifier:
        with proxy.down():
            for start in range(0, 1000, 40):
                enqueue(notifier, *MANY[start : start + 40], channels=["refused"])
                wait_until(lambda: notifier.stats().queued < 60, "it is on the disk")
        wait_until(lambda: sent, "it comes back")
        enqueue(notifier, *MANY[1000:1040], channels=["refused"])
        drained(notifier)
    assert sent == MANY[:1040]


def test_close__leaves_the_rest_in_the_file(
    server: Server, deploy: Deploy, path: Path, lines: Lines
) -> None:
    """What could not be sent until the deadline is sent by the next process, first of all."""
    deployment = deploy(server)
    options = {"capacity": 100, "on_full": "spill", "spill_path": path}
    with background(NOWHERE, **options) as notifier:
        ids = enqueue(notifier, *MANY[:90])
        closed = notifier.close(0.05)
    assert (closed.spilled, closed.spill_path) == (90, str(path))
    assert (closed.remaining, closed.unknown) == ((), ())
    assert is_exact(closed.stats)
    with background(NOWHERE, **options) as notifier:
        wait_until(lambda: notifier.stats().in_flight, "some were read back")
        assert notifier.close(0).spilled == 90
    with background(server.url, **options) as notifier:
        assert notifier.stats().found == 90
        drained(notifier)
        assert notifier.stats().accepted == 90
    assert {member.partition("/")[0] for member in deployment.routes()} == set(ids)
    assert [
        line["count"] for line in lines() if line["event"] == "unsent intents found in spill"
    ] == [90, 90]
    with background(NOWHERE, **options) as notifier:
        assert notifier.stats().found == 0


_DIES = """
import sys, time
from galaxy_notify import BackgroundNotifier, BackgroundOptions
options = BackgroundOptions(capacity=100, on_full="spill", spill_path=sys.argv[1])
notifier = BackgroundNotifier.from_url("redis://127.0.0.1:1/0", options=options)
for number in range(2000):
    notifier.enqueue({"type": "t", "producer": "p", "recipients": [f"u{number}"]})
    while notifier.stats().queued > 60:
        time.sleep(0.001)
print(notifier.stats().spilled, flush=True)
time.sleep(3600)
"""


def test_crash__leaves_what_was_spilled(server: Server, deploy: Deploy, path: Path) -> None:
    """After kill -9 the next process finds all that was on the disk, and sends it once."""
    deployment = deploy(server)
    with subprocess.Popen(
        [sys.executable, "-c", _DIES, str(path)],
        cwd=ROOT,
        env=environment(server),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        spilled = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert spilled > 1500
    with background(server.url, on_full="spill", spill_path=path) as notifier:
        assert spilled <= notifier.stats().found <= 2000
        drained(notifier)
        found_there = notifier.stats().found
        assert notifier.stats().accepted == found_there
    assert deployment.total("accepted") == found_there


def test_damaged_spill__is_told_and_read(
    server: Server, deploy: Deploy, path: Path, lines: Lines
) -> None:
    """What was overwritten costs itself, and what was written together with it, only."""
    deploy(server)
    options = {"on_full": "spill", "spill_path": path, "batch": 5}
    with background(NOWHERE, **options) as notifier:
        enqueue(notifier, *MANY[:50])
        notifier.close(0.05)
    overwritten(path, b"u00017", b"u00018")
    with background(server.url, **options) as notifier:
        drained(notifier)
        assert notifier.stats().accepted == 45
    (told,) = (line for line in lines() if line["event"] == "unsent intents found in spill")
    assert (told["count"], told["damaged"]) == (45, 1)


def test_spill__that_is_overwritten_under_our_feet_is_counted(
    server: Server, deploy: Deploy, path: Path, lines: Lines
) -> None:
    """What cannot be read back any more is a drop with its reason; the sum stays right."""
    deploy(server)
    options = {"capacity": 100, "on_full": "spill", "spill_path": path}
    with proxied(server.socket) as proxy, background(proxy.url, **options) as notifier:
        with proxy.down():
            for start in range(0, 400, 40):
                # More than SQLite keeps in memory.
                enqueue(notifier, *MANY[start : start + 40], body="x" * 20_000)
                wait_until(lambda: notifier.stats().queued < 60, "it is on the disk")
            wait_until(lambda: not os.path.getsize(f"{path}-wal"), "it is in the database")
            damaged = path.stat().st_size // 2
            with path.open("r+b") as file:
                file.seek(2 * PAGE)
                file.write(bytes(damaged))
        drained(notifier)
        stats = notifier.stats()
    assert stats.dropped["spill_corrupt"] > 100
    assert stats.accepted > 100
    assert stats.accepted + stats.dropped["spill_corrupt"] == 400
    assert {"damaged spill set aside", "spilled intents lost"} <= set(events(lines))


def test_full_disk__drops_and_says_why(path: Path, lines: Lines) -> None:
    """Where the disk takes nothing the caller is not told, the drops have a reason of their own."""
    options = {"capacity": 20, "on_full": "spill", "spill_path": path, "spill_max_bytes": 64}
    with background(NOWHERE, **options) as notifier:
        enqueue(notifier, "first")
        wait_until(lambda: notifier.stats().in_flight, "one is being sent")
        enqueue(notifier, *MANY[:15], body="x" * 1000)
        wait_until(lambda: "spill unusable" in events(lines), "the disk is tried")
        enqueue(notifier, *MANY[15:100])
        assert notifier.stats().dropped["spill_failed"] > 60
        closed = notifier.close(0)
    assert is_exact(closed.stats)
    assert closed.spilled == 0
    assert len(closed.remaining) + len(closed.unknown) >= 15


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of 1 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "gn-test", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], capture_output=True, check=True)


@pytest.mark.extended
def test_full_disk__sends_what_is_on_it(
    server: Server, deploy: Deploy, small_disk: Path, lines: Lines
) -> None:
    """What fits is sent when Redis is back, and the disk is used again; the rest is counted."""
    deployment = deploy(server)
    options = {"capacity": 100, "on_full": "spill", "spill_path": small_disk / "spill"}
    with proxied(server.socket) as proxy, background(proxy.url, **options) as notifier:
        with proxy.down():
            while "spill_failed" not in notifier.stats().dropped:
                enqueue(notifier, "u", body="x" * 5000)
        drained(notifier)
        stats = notifier.stats()
        assert stats.accepted == stats.enqueued - sum(stats.dropped.values())
        assert stats.accepted > 120
        with proxy.down():
            wait_until(lambda: enqueue(notifier, "u") and notifier.stats().spilled, "it takes some")
        drained(notifier)
    assert {"spill unusable", "spill usable again"} <= set(events(lines))
    assert deployment.total("accepted") == notifier.stats().accepted


@pytest.mark.extended
def test_spill__in_a_folder_that_is_read_only_is_refused(small_disk: Path) -> None:
    """It is refused when the notifier is made, in one line with the path."""
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    Spill(small_disk / "spill", 1 << 20).close()
    subprocess.run(remount, check=True)
    for name in ("spill", "other"):
        with pytest.raises(ConfigurationError, match=r"spill_path: .*: Read-only"):
            Spill(small_disk / name, 1 << 20)


def test_fork__leaves_the_spill_to_the_parent(path: Path) -> None:
    """A child that outlives its parent keeps nobody from the file."""
    code = (
        "import os, sys, time\n"
        "from galaxy_notify import BackgroundNotifier, BackgroundOptions\n"
        "options = BackgroundOptions(on_full='spill', spill_path=sys.argv[1])\n"
        f"notifier = BackgroundNotifier.from_url({NOWHERE!r}, options=options)\n"
        f"notifier.enqueue({dict(PLAIN)!r})\n"
        "if not os.fork():\n"
        "    print('forked', flush=True)\n"
        "    time.sleep(3600)\n"
        "notifier.close(0.05)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.wait(HANG_S)
        spill = Spill(path, 1 << 20)
        spill.close()
        assert spill.found == 1
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("policy", ["spill", "drop_newest"])
def test_exit__without_a_close_drains(
    server: Server, deploy: Deploy, path: Path, policy: str
) -> None:
    """A program that ends without closing still hands over what it had."""
    deployment = deploy(server)
    code = (
        "import sys\n"
        "from galaxy_notify import BackgroundNotifier, BackgroundOptions\n"
        f"options = BackgroundOptions(on_full={policy!r}, exit_within_s=3600,"
        f" spill_path=sys.argv[2] if {policy!r} == 'spill' else None)\n"
        "notifier = BackgroundNotifier.from_url(sys.argv[1], options=options)\n"
        "for number in range(300):\n"
        f"    notifier.enqueue({dict(PLAIN)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.url, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert deployment.total("accepted") == 300
