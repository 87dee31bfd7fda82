"""The OpenAPI document tells the truth: whatever is sent, the answer is one it names.

schemathesis makes the requests, sound ones and broken ones. Some of its questions are not asked:
what no schema can say is refused as well (``expires_at`` of long ago, two keys that differ, a due
time behind the end, a cursor of nobody's, another user than that of the path, the URL of a
webhook), a bad item of a batch is refused alone, and what was cancelled can still be looked at.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.api import TOKENS, ApiProcess, api_on
from tests.support.contacts import toml_settings
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.suite import runs_all
from tests.support.wait import HANG_S

# On a slow machine a broken body may also come too late: 408. If-Match is drawn without a look at
# its pattern, so it is malformed (400), or matches nothing (412).
CONFIG = """\
[checks]
use_after_free.enabled = false
negative_data_rejection.expected-statuses = [
  "400", "401", "403", "404", "405", "406", "408", "409", "415", "422", "428", "429", "5xx",
]

[[operations]]
include-name = "POST /v1/notifications"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "GET /v1/notifications"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "PATCH /v1/notifications/{notification_id}"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /v1/notifications:batch"
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "/preferences"
checks.positive_data_acceptance.expected-statuses = [
  "2xx", "3xx", "400", "401", "403", "404", "409", "412", "429", "5xx",
]

[[operations]]
include-name = "GET /v1/users/{user}/feed"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /v1/users/{user}/feed"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false

[[operations]]
include-name = "POST /v1/users/{user}/webhooks"
checks.positive_data_acceptance.enabled = false
"""


def _run(api: ApiProcess, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"]
    seed = () if runs_all() else ("--seed=1",)
    return subprocess.run(
        [*command, "run", f"{api.url}/openapi.json", "--no-color", *seed, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )


def test_answers__are_those_of_the_document(
    open_process: ApiProcess, server: Server, tmp_path: Path
) -> None:
    """No server error, no undocumented answer, no broken request that is accepted."""
    phases = () if runs_all() else ("--phases=examples,fuzzing",)
    done = _run(open_process, tmp_path, "--max-examples=6", *phases)
    assert done.returncode == 0, done.stdout + done.stderr


def test_answers__of_a_guarded_api_too(guarded: ApiProcess, server: Server, tmp_path: Path) -> None:
    """With a token what it opens is as documented, and without it nothing is open."""
    header = f"Authorization: Bearer {TOKENS['ann']}"
    done = _run(guarded, tmp_path, f"--header={header}", "--phases=fuzzing", "--max-examples=2")
    assert done.returncode == 0, done.stdout + done.stderr


def test_answers__of_feeds_too(server: Server, feed_database: Postgres, tmp_path: Path) -> None:
    """Where there is a feed: pages and receipts are as documented."""
    with api_on(server, feed__url=feed_database.url) as api:
        done = _run(api, tmp_path, "--include-path-regex=feed", "--max-examples=30")
    assert done.returncode == 0, done.stdout + done.stderr


def test_answers__of_webhooks_too(server: Server, tmp_path: Path) -> None:
    """Where there are endpoints: what is added, refused, tested and listed is as documented."""
    with api_on(server, **toml_settings()) as api:
        done = _run(api, tmp_path, "--include-path-regex=webhooks", "--max-examples=20")
    assert done.returncode == 0, done.stdout + done.stderr
