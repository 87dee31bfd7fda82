"""docs/http.md: its examples work as they stand, and its tables are the code's."""

from __future__ import annotations

import re
import subprocess

import httpx

from galaxy_notify.web.problems import KINDS
from tests.http.test_auth import GUARDED, ID
from tests.support.api import INTENT, PATH, ApiProcess, api_on
from tests.support.documents import rows, runnable
from tests.support.requirements import requires_program
from tests.support.servers import Server
from tests.support.wait import HANG_S

DOCUMENT = "docs/http.md"
USUAL = "http://127.0.0.1:8080"


@requires_program("curl")
def test_docs__show_commands_that_work(server: Server) -> None:
    """Every example answers with success, in the order in which it is shown."""
    later = INTENT | {"recipients": ["user-7"], "channels": ["push"], "due_at": 2 * 10**12}
    text = "\n".join(block.text for block in runnable(DOCUMENT, "sh"))
    assert USUAL in text
    # Its own API: what retracts reads the deployment, which another test has emptied.
    with api_on(server) as process, process.client() as api:
        made = api.post(PATH, json=later).json()["notification_id"]
        done = _run(re.sub(r"\bID\b", made, text).replace(USUAL, process.url))
        assert done.returncode == 0, done.stdout + done.stderr
        shown = api.get(f"{PATH}/{made}").json()
        assert [route["status"] for route in shown["routes"]] == ["cancelled"]
        assert api.get("/v1/status").json()["totals"]["accepted"] == 4


@requires_program("curl")
def test_guide__shows_a_request_that_works(api: httpx.Client, open_process: ApiProcess) -> None:
    """The example of the guide accepts a notification."""
    (block,) = runnable("docs/guide.md", "sh", "http")
    done = _run(block.text.replace(USUAL, open_process.url))
    assert '"status":"accepted"' in done.stdout, done.stdout + done.stderr


def _run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-eu"], input=script, capture_output=True, text=True, check=False, timeout=HANG_S
    )


def test_docs__name_every_path_and_its_scopes(guarded: ApiProcess, server: Server) -> None:
    """The table has the operations of the document, with the scopes that the tests try."""
    told = {row[0].strip("`| "): row[1] for row in rows(DOCUMENT, "paths")}
    with guarded.client() as api:
        paths = api.get("/openapi.json").json()["paths"]
    pairs = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    found = {" ".join(pair): pair for pair in pairs}
    assert set(told) == set(found)
    for words, (method, path) in found.items():
        scopes = GUARDED.get((method, re.sub(r"\{\w+\}", ID, path)), set())
        assert set(re.findall(r"[a-z-]+", told[words])) == scopes, words


def test_document__names_every_operation_once(api: httpx.Client) -> None:
    """What generators make of the document has plain names, and none twice."""
    paths = api.get("/openapi.json").json()["paths"]
    names = [one["operationId"] for methods in paths.values() for one in methods.values()]
    assert {"accept", "accept_many", "explain", "cancel", "status"} < set(names)
    assert len(set(names)) == len(names)


def test_docs__name_every_problem() -> None:
    """The table has every kind of problem with its status, and no other."""
    told = {row[0].strip("`| "): int(row[1]) for row in rows(DOCUMENT, "problems")}
    assert told == {name: kind.status for name, kind in KINDS.items()}
