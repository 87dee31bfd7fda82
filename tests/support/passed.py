"""What passed in the run before, which a second run of both suites need not repeat.

`.ci/run` runs `make test` and then `make test-all`: a test that is the same in both runs once. The
variable names the file that the first run writes and the second one reads; only it sets that.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support import suite

VARIABLE = "GN_PASSED"


def record(passed: list[pytest.TestReport]) -> None:
    """Write what passed, in the first run."""
    path = os.environ.get(VARIABLE)
    if path and not suite.runs_all():
        Path(path).write_text(json.dumps([report.nodeid for report in passed]), encoding="utf-8")


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take from the items of the second run those that would only be repeated."""
    path = os.environ.get(VARIABLE)
    if not path or not suite.runs_all():
        return
    passed = set(json.loads(Path(path).read_text(encoding="utf-8")))
    repeated = [item for item in items if item.nodeid in passed and not _differs(item)]
    config.hook.pytest_deselected(items=repeated)
    left_out = set(repeated)
    items[:] = [item for item in items if item not in left_out]


def _differs(item: pytest.Item) -> bool:
    """Report whether the test does more in the second run: other examples, or as it asks for."""
    function = getattr(item, "function", None)
    return hasattr(function, "hypothesis") or any(
        getattr(item.module, name, None) is value  # type: ignore[attr-defined]
        for name, value in (("runs_all", suite.runs_all), ("examples", suite.examples))
    )
