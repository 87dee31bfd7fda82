"""Which suite runs: `make test`, on one server and with few examples, or `make test-all`."""

from __future__ import annotations

import os

VARIABLE = "GN_SUITE"

#: The servers that `make test-all` runs on: flavour and first number of the version.
WANTED = (("redis", 6), ("redis", 7), ("redis", 8), ("valkey", 8))

#: How many examples of a property `make test` and `make test-all` try where a test names no number.
FEW_EXAMPLES, MANY_EXAMPLES = 25, 200


def runs_all() -> bool:
    """Report whether all servers and many examples are wanted (``GN_SUITE=all``)."""
    return os.environ.get(VARIABLE) == "all"


def examples(few: int, many: int) -> int:
    """Return how many examples a property gets in this run."""
    return many if runs_all() else few
