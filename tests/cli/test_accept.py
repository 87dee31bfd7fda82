"""``accept``: JSON lines in, a receipt for each out, in order."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.intents import PLAIN
from tests.support.servers import Server, main_server, running
from tests.support.wait import HANG_S

GOOD = json.dumps(PLAIN)
KEYS = ["line", "notification_id", "status", "routes", "parts", "error"]


def receipts(text: str) -> list[Any]:
    """Read receipts."""
    return [json.loads(line) for line in text.splitlines()]


def test_accept__prints_a_receipt_for_each_line(server: Server) -> None:
    """Receipts come in order, with all keys, whatever stands between the good lines."""
    lines = [GOOD, "", "{bad", "[1]", '{"type":"a","type":"b"}', '{"x":NaN}', GOOD]
    done = command_for(server).run("accept", stdin="\n".join(lines))
    told = receipts(done.stdout)
    assert done.exit_code == 4
    assert all(list(receipt) == KEYS for receipt in told)
    assert [receipt["line"] for receipt in told] == [1, 3, 4, 5, 6, 7]
    assert [receipt["status"] for receipt in told] == ["accepted", *["refused"] * 4, "accepted"]
    assert told[0]["error"] is None
    assert told[3]["error"] == {"code": "invalid", "field": "type", "message": "is given twice"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 1"),
        (b'{"type": "\xc3"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"data": {"n": ' + b"9" * 10_000 + b"}}", "not JSON"),
        (b'"text"', "an object, not text"),
        (b"{}", "is required"),
    ],
)
def test_accept__a_bad_line_is_refused(server: Server, line: bytes, reason: str) -> None:
    """A line that is no intent gets a receipt that says why; when all are such, the code is 1."""
    done = command_for(server).run("accept", stdin=line + b"\n")
    (receipt,) = receipts(done.stdout)
    assert done.exit_code == 1
    assert receipt["status"] == "refused"
    assert receipt["notification_id"] is None
    assert reason in receipt["error"]["message"]


def test_accept__a_huge_line_harms_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line beyond all bounds is refused without being kept."""
    monkeypatch.setattr("galaxy_notify.cli.jsonl.LONGEST_LINE", 3 << 20)
    file = tmp_path / "intents"
    file.write_text(f"{GOOD}\n{'x' * (8 << 20)}\n{GOOD}\n{'y' * (4 << 20)}")
    done = command_for(server).run("accept", str(file))
    assert [(r["line"], r["status"]) for r in receipts(done.stdout)] == [
        (1, "accepted"),
        (2, "refused"),
        (3, "accepted"),
        (4, "refused"),
    ]
    assert receipts(done.stdout)[1]["error"]["code"] == "too_large"


def test_accept__twice_is_a_duplicate(server: Server) -> None:
    """The same key finds the same notification; other content under it is a conflict."""
    keyed = {**PLAIN, "idempotency_key": "k"}
    lines = [json.dumps(keyed), json.dumps(keyed), json.dumps({**keyed, "body": "other"})]
    told = receipts(command_for(server).run("accept", stdin="\n".join(lines)).stdout)
    assert [receipt["status"] for receipt in told] == ["accepted", "duplicate", "refused"]
    assert told[0]["notification_id"] == told[1]["notification_id"]
    assert told[2]["error"]["code"] == "conflict"
    assert command_for(server).run("accept", stdin="\n".join(lines[:2])).exit_code == 0


def test_accept__many_lines_keep_their_order(server: Server, tmp_path: Path) -> None:
    """More than a batch is answered line by line, in order."""
    file = tmp_path / "intents"
    file.write_text(f"\ufeff{GOOD}\r\n" + f"{GOOD}\n" * 1500)
    told = receipts(command_for(server).run("accept", str(file)).stdout)
    assert [receipt["line"] for receipt in told] == list(range(1, 1502))
    assert {receipt["status"] for receipt in told} == {"accepted"}


def test_accept__nothing_is_0(server: Server) -> None:
    """Empty input is no failure."""
    for text in ("", "\n\n  \n"):
        done = command_for(server).run("accept", stdin=text)
        assert (done.exit_code, done.stdout) == (0, "")


def test_accept__an_unreadable_file_is_2(tmp_path: Path) -> None:
    """A file that cannot be read is told before Redis is asked."""
    for path in (tmp_path, tmp_path / "missing"):
        done = CommandLine(NOWHERE).run("accept", str(path))
        assert done.exit_code == 2
        assert str(path) in done.stderr


def test_accept__answers_a_pipe_that_stays_open(server: Server) -> None:
    """A line gets its receipt before the next one is written."""
    with command_for(server).start(
        "accept", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in (1, 2):
            process.stdin.write(GOOD + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] == number
        process.stdin.close()
        assert process.wait(timeout=HANG_S) == 0


def test_accept__without_redis_tells_the_unknown_lines() -> None:
    """When Redis is away standard error names the lines nobody knows about; refusals are told."""
    done = CommandLine(NOWHERE).run("accept", stdin=f"{GOOD}\n{{bad\n\n{GOOD}\n{GOOD}\n")
    assert done.exit_code == 1
    assert [receipt["line"] for receipt in receipts(done.stdout)] == [2]
    assert "unknown: lines 1, 4-5;" in done.stderr


def test_accept__redis_away_in_the_middle(tmp_path: Path) -> None:
    """What was accepted before has its receipts; running it again is safe with keys."""
    keyed = [json.dumps({**PLAIN, "idempotency_key": str(number)}) for number in range(3)]
    with (
        running(main_server(), appendonly="yes") as server,
        command_for(server).start(
            "accept", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(keyed[0] + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["status"] == "accepted"
        server.kill()
        out, errors = process.communicate("\n".join(keyed[1:]) + "\n", timeout=HANG_S)
        assert (process.returncode, out) == (1, "")
        assert "unknown: lines 2-3;" in errors
        server.start()
        again = receipts(command_for(server).run("accept", stdin="\n".join(keyed)).stdout)
        assert [receipt["status"] for receipt in again] == ["duplicate", "accepted", "accepted"]


def test_check__judges_without_redis() -> None:
    """``--check`` gives the verdicts of an accept and sends nothing."""
    unknown = json.dumps({**PLAIN, "channels": ["psuh"]})
    large = json.dumps({**PLAIN, "body": "x" * 300_000})
    done = CommandLine(NOWHERE).run("accept", "--check", stdin=f"{GOOD}\n{unknown}\n{large}")
    told = receipts(done.stdout)
    assert done.exit_code == 4
    assert [receipt["status"] for receipt in told] == ["accepted", "refused", "refused"]
    assert told[1]["error"]["message"] == 'unknown channel "psuh" (known: push)'
    assert told[2]["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "standard input: no lines, nothing to do\n"),
        ("\n \n", "standard input: no lines, nothing to do\n"),
        (f"[{GOOD}]", "standard input: begins with a JSON array; give one object per line"),
        (json.dumps([PLAIN], indent=2), "begins with a JSON array; give one object per line"),
        (
            json.dumps(PLAIN, indent=2),
            "an object spans several lines; give one object per line",
        ),
        (GOOD, ""),
        ("{bad", ""),
    ],
)
def test_input__of_another_form_gets_a_hint(text: str, told: str) -> None:
    """A file without lines, or with JSON that is not one object per line, gets a word."""
    errors = CommandLine(NOWHERE).run("accept", "--check", stdin=text).stderr
    assert told in errors
    assert bool(told) == bool(errors)
