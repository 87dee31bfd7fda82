"""The example file: what it says, and that every route in it is carried to its end once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.support.documents import text_of
from tests.support.founded import found_deployment
from tests.support.program import ROOT, daemon, delivered, environment, program, status
from tests.support.servers import Server
from tests.support.wait import wait_until

FILE = "examples/intents.jsonl"
ACCEPTED, DUPLICATES, CONFLICTS, INVALID, ROUTES = 1000, 25, 5, 13, 5295
GONE = ("published", "cancelled", "expired", "skipped", "purged")
SCRIPTS = {
    "Greek": "αρτ", "Cyrillic": "ход", "Arabic": "دور", "Hebrew": "תור", "Devanagari": "अब",
    "Chinese": "轮到", "Japanese": "あなた", "Korean": "당신", "emoji": "🚀🪐",
}  # fmt: skip


def test_example__is_what_its_script_writes() -> None:
    """The file can be made again, byte for byte."""
    made = subprocess.run(
        [sys.executable, "examples/make_intents.py"], cwd=ROOT, capture_output=True, check=True
    )
    assert made.stdout == (ROOT / FILE).read_bytes()


def test_example__can_be_due_soon() -> None:
    """With --due-within every intent is due in the coming seconds."""
    made = subprocess.run(
        [sys.executable, "examples/make_intents.py", "--due-within", "60"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert made.stdout.count(b'"due_at":') > ACCEPTED


@pytest.mark.parametrize("letters", SCRIPTS.values(), ids=SCRIPTS)
def test_example__speaks_in_many_scripts(letters: str) -> None:
    """Text of each script is in the file."""
    text = (ROOT / FILE).read_text(encoding="utf-8")
    assert all(letter in text for letter in letters)


def test_example__is_carried_to_its_end(server: Server) -> None:
    """Accepted, published by two daemons side by side, each event once, every route counted."""
    with daemon(server), daemon(server):
        done = program(server, "accept", FILE)
        receipts = [json.loads(line) for line in done.stdout.splitlines()]
        wait_until(
            lambda: status(server)["channels"]["push"]["scheduled"] == 0, "all are published"
        )
        wait_until(lambda: len(status(server)["workers"]) == 2, "both workers are seen")
        told = status(server)
    assert done.returncode == 4
    assert_receipts(receipts)
    totals, push = told["totals"], told["channels"]["push"]
    assert totals["accepted"] == totals["published"] == ROUTES
    assert totals["accepted"] == push["scheduled"] + push["dead"] + sum(totals[n] for n in GONE)
    assert_events(server, receipts)


def assert_receipts(receipts: list[dict[str, Any]]) -> None:
    """Assert that each line has its receipt, in order, and that the refused ones say why."""
    assert [receipt["line"] for receipt in receipts] == list(range(1, len(receipts) + 1))
    assert Counter(receipt["status"] for receipt in receipts) == {
        "accepted": ACCEPTED,
        "duplicate": DUPLICATES,
        "refused": CONFLICTS + INVALID,
    }
    codes = Counter(receipt["error"]["code"] for receipt in receipts if receipt["error"])
    assert codes == {"conflict": CONFLICTS, "invalid": INVALID}


def assert_events(server: Server, receipts: list[dict[str, Any]]) -> None:
    """Assert that the stream has every accepted route once, and text as it was written."""
    with server.client() as client:
        entries: Any = client.xrange("{gn:0}:client-events")
    ids = Counter(fields[b"event_id"].decode() for _, fields in entries)
    assert len(ids) == sum(ids.values()) == ROUTES
    per_notification = Counter(event_id.partition("/")[0] for event_id in ids)
    accepted = {r["notification_id"]: r["routes"] for r in receipts if r["status"] == "accepted"}
    assert per_notification == accepted
    payloads = b"".join(fields[b"payload_bytes"] for _, fields in entries).decode(errors="replace")
    assert all(letter in payloads for letters in SCRIPTS.values() for letter in letters)


def test_example__is_accepted_again_only_where_it_has_no_key(server: Server) -> None:
    """Running the file a second time accepts nothing that has an idempotency key."""
    program(server, "accept", FILE)
    again = [json.loads(line) for line in program(server, "accept", FILE).stdout.splitlines()]
    lines = (ROOT / FILE).read_text(encoding="utf-8").splitlines()
    keyed = {number for number, line in enumerate(lines, 1) if "idempotency_key" in line}
    assert all(r["status"] != "accepted" for r in again if r["line"] in keyed)


def test_producer__tells_what_became_of_each(server: Server) -> None:
    """The example producer accepts, repeats, is refused, and takes one back."""
    found_deployment(server.url)
    done = subprocess.run(
        [sys.executable, "examples/producer.py", "--url", server.url],
        cwd=ROOT,
        env=environment(server),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "accepted", "duplicate", "refused", "cancelled",
    ]  # fmt: skip


def test_encoder_and_gateway__work_together(server: Server) -> None:
    """A daemon with the example encoder publishes what the example gateway delivers."""
    found_deployment(server.url)
    subprocess.run(
        [sys.executable, "examples/producer.py", "--url", server.url],
        cwd=ROOT,
        env=environment(server),
        capture_output=True,
        check=True,
    )
    ours = environment(server)["PYTHONPATH"]
    encoder = {
        "GALAXY_NOTIFY_GATEWAY__ENCODER": "encoder:compact",
        "PYTHONPATH": f"{ROOT / 'examples'}:{ours}",
    }
    with server.client() as client, daemon(server, **encoder):
        wait_until(lambda: client.xlen("{gn:0}:client-events") == 2, "both routes are published")
        entries: Any = client.xrange("{gn:0}:client-events")
    assert {fields[b"payload_bytes"] for _, fields in entries} == {
        b'{"text": "Your move", "again": false}'
    }


def test_gateway__delivers_each_event_once(server: Server) -> None:
    """The example gateway prints what was published, and ends on SIGTERM after acknowledging."""
    with server.client() as client, daemon(server):
        program(server, "accept", FILE)
        wait_until(lambda: client.xlen("{gn:0}:client-events") == ROUTES, "published")
        read = delivered(server, ROUTES)
    assert all(line.startswith(("user-", "+49")) for line in read)


def test_example_readme__counts_right() -> None:
    """The numbers that examples/README.md tells are those of the file."""
    text = text_of("examples/README.md")
    for number in (ACCEPTED, DUPLICATES, CONFLICTS, INVALID):
        assert f"| {number:,} | " in text
    assert f"{ROUTES:,} routes" in text
    assert f"{len(text_of(FILE).splitlines()):,} lines" in text
