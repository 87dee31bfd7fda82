"""The parts of the browser client that need no browser, run by Node as they are served."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.realtime.client_files import client_files
from tests.support.requirements import requires_program
from tests.support.wait import HANG_S

pytestmark = requires_program("node")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """Give the file of the module."""
    path = tmp_path / "client.mjs"
    path.write_bytes(client_files()["/client.js"].body)
    return path


def _run(module: Path, body: str, given: object = None) -> Any:
    """Return what a function body returns that has the exports and the `given` value."""
    script = f"""
        const client = await import({json.dumps(module.as_uri())});
        const given = {json.dumps(given)};
        const run = (client, given) => {{ {body} }};
        process.stdout.write(JSON.stringify(run(client, given)));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


_PARSE = """
    return given.map((pieces) => {
        const events = [], retries = [];
        const feed = client.parser((...event) => events.push(event), (ms) => retries.push(ms));
        pieces.forEach(feed);
        return [events, retries];
    });
"""

#: A stream, the events it has as the standard reads it (kind, data, id), and what it says to retry.
STREAMS: dict[str, tuple[str, list[list[str]], list[int]]] = {
    "fields": ("event: a\nid: 1\ndata: x\n\n", [["a", "x", "1"]], []),
    "no kind": ("data: x\n\n", [["message", "x", ""]], []),
    "lines of data": ("data: x\ndata:\ndata:  y\n\n", [["message", "x\n\n y", ""]], []),
    "data without a colon": ("data\n\n", [["message", "", ""]], []),
    "no data": ("event: a\nid: 1\n\ndata: x\n\n", [["message", "x", "1"]], []),
    "the id stays": ("id: 1\ndata: x\n\ndata: y\n\n", [["message", v, "1"] for v in "xy"], []),
    "the id is emptied": ("id: 1\n\nid\ndata: y\n\n", [["message", "y", ""]], []),
    "id with NUL": ("id: 1\nid: a\0b\ndata: x\n\n", [["message", "x", "1"]], []),
    "comments": (": ping\n\n:\ndata: x\n: y\n\n", [["message", "x", ""]], []),
    "colons": ("data: a: b:c\n\n", [["message", "a: b:c", ""]], []),
    "unknown field": ("datas: y\n data: z\nDATA: q\ndata: x\n\n", [["message", "x", ""]], []),
    "retry": ("retry: 1500\nretry: 1.5\nretry: -1\nretry: x\nretry\n\n", [], [1500]),
    "not over": ("data: x\n", [], []),
}


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
def test_parser__reads_streams_cut_anywhere(module: Path, end: str) -> None:
    """Whole, character by character, and cut once at each place: the events are the same."""
    given, wanted = [], []
    for text, events, retries in STREAMS.values():
        sent = text.replace("\n", end)
        cuts = [[sent], list(sent), *([sent[:at], sent[at:]] for at in range(len(sent) + 1))]
        given += cuts
        wanted += [[events, retries]] * len(cuts)
    assert _run(module, _PARSE, given) == wanted


def test_parser__gives_an_event_as_soon_as_its_line_ends(module: Path) -> None:
    """An event that ends with CR does not wait to see whether LF follows."""
    first, second = _run(module, _PARSE, [["data: x\r\r"], ["data: x\r\r", "\ndata: y\r\n\r\n"]])
    assert first == [[["message", "x", ""]], []]
    assert second == [[["message", "x", ""], ["message", "y", ""]], []]


@pytest.mark.parametrize(
    ("own", "other", "wanted"),
    [
        ("e1.4.aaaa", "e1.5.bbbb", 1),
        ("e1.9.aaaa", "e1.10.bbbb", 1),
        ("e1.4.aaaa", "e1.4.aaaa", 0),
        ("e1.4.aaaa", "e1.2.bbbb", -2),
        ("e1.4.aaaa", "e1.7.bbbb", 3),
        ("e1.4.aaaa", "e1.4.bbbb", None),
        ("e1.4.aaaa", "e2.5.bbbb", None),
        ("0.0.0", "e1.1.aaaa", 1),
        ("0.0.0", "e1.3.aaaa", 3),
        ("0.0.0", "0.0.0", 0),
        ("e1.4.aaaa", "0.0.0", None),
    ],
)
def test_distance__is_of_one_epoch_and_one_event(
    module: Path, own: str, other: str, wanted: int | None
) -> None:
    """Another epoch, or another event at the same offset, is no distance (NaN, in JSON null)."""
    assert _run(module, "return client.distance(...given);", [own, other]) == wanted


def test_pause__is_what_the_gateway_asks_and_jitter_after_failures(module: Path) -> None:
    """Without a failure exactly that; then from nothing to twice as much each time, to a minute."""
    body = "return given.map(([ms, n, chance]) => client.pauseMs(ms, n, () => chance));"
    given = [(3000, 0, 0.9), (3000, 1, 0), (3000, 1, 0.5), (0, 3, 0.5), (0, 50, 1)]
    assert _run(module, body, given) == [3000, 3000, 4000, 4000, 60_000]


def test_ids__are_remembered_for_500(module: Path) -> None:
    """The oldest is forgotten first; to see one again does not make it newer."""
    body = """
        const seen = new Set();
        const first = given.map((id) => client.isNew(seen, id));
        const again = [499, 0, 0, 1].map((id) => client.isNew(seen, id));
        return [first.every((one) => one), again, seen.size];
    """
    answer = _run(module, body, list(range(500)))
    assert answer == [True, [False, False, False, False], 500]
    forgotten = _run(module, body, list(range(1, 502)))
    assert forgotten[1:] == [[False, True, False, True], 500]
