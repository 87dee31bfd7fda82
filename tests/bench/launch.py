"""Runs a module of this benchmark with another commit's package.

``python tests/bench/launch.py MODULE ROOT ARGUMENTS``: `galaxy_notify` is imported from ROOT, and
everything else of it then comes from there too; `tests` is imported from this checkout.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path


def main() -> None:
    """Import the package from its checkout, and then run the module from this one."""
    module, root = sys.argv[1:3]
    sys.path[0] = root
    importlib.import_module("galaxy_notify")
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
