"""``make test-faults``: run all fault tests, and end with the matrix and its results."""

from __future__ import annotations

import argparse
import sys

import pytest

from tests.bench.machine import machine
from tests.faults.support.matrix import OWN, Results, document, named_tests
from tests.support.program import ROOT
from tests.support.seed import seed_of_run
from tests.support.servers import servers_found

_DOCUMENT = ROOT / "docs" / "fault-matrix.md"


def main() -> int:
    """Run them; the exit code is pytest's."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--write-matrix", action="store_true", help="keep the results in docs/")
    options, further = parser.parse_known_args()
    results = Results()
    chosen = [OWN, *named_tests()]
    # They mostly wait; the long ones must not be left to one of the workers at the end.
    workers = ["-n", "3", "--dist", "worksteal"]
    code = pytest.main(["-q", "-m", "", *workers, *chosen, *further], plugins=[results])
    found = servers_found().values()
    about = [
        *machine(next(iter(found))).items(),
        ("servers", ", ".join(f"{one.flavour} {one.version}" for one in found)),
        ("seed", seed_of_run()),
        ("tests", f"{len(results.outcomes)}, {results.seconds:.0f} s of them"),
    ]
    text = document(results, [(name, value) for name, value in about if name != "server"])
    sys.stdout.write(text)
    if options.write_matrix:
        _DOCUMENT.write_text(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
