"""axe-core, which finds what a page hides from people who cannot see it or use no mouse."""

from __future__ import annotations

import pytest

from tests.support.program import ROOT

#: `make test-all` has it here, out of a package that ships it.
_SCRIPT = ROOT / ".servers" / "axe" / "axe_playwright_python" / "axe.min.js"

requires_axe = pytest.mark.skipif(not _SCRIPT.exists(), reason="needs axe-core: make test-all")


def axe_source() -> str:
    """Return the script."""
    return _SCRIPT.read_text(encoding="utf-8")
