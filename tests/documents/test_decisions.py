"""docs/decisions: each one complete and listed, and every link of the documents leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.program import ROOT

_DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
_FOLDERS = ("docs", "examples", "lua", "tests")
_DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *(path for folder in _FOLDERS for path in sorted(ROOT.glob(f"{folder}/**/*.md"))),
]
_PARTS = ["Context", "Decision", "Consequences", "What would change our mind"]


def test_decisions__are_numbered_without_gaps() -> None:
    """The number of a decision stands in its name and in its title."""
    numbers = [path.name[:4] for path in _DECISIONS]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert numbers


@pytest.mark.parametrize("path", _DECISIONS, ids=lambda path: path.stem)
def test_decision__has_every_part(path: Path) -> None:
    """Title, status with its date, and four sections, on about half a page."""
    text = path.read_text(encoding="utf-8")
    assert re.match(rf"# {int(path.name[:4])}\. .+\n\nAccepted, \d{{4}}-\d{{2}}-\d{{2}}[.;]", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == _PARTS
    assert len(text.splitlines()) <= 60


def test_decisions__are_listed_in_the_architecture() -> None:
    """The list has every decision once, under its title."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(\d+\. )\[(.+)\]\(decisions/(.+)\)$", text, re.MULTILINE)
    titles = [path.read_text(encoding="utf-8").splitlines()[0] for path in _DECISIONS]
    assert [f"# {number}{title}" for number, title, _ in listed] == titles
    assert [name for _, _, name in listed] == [path.name for path in _DECISIONS]


def test_decisions__named_in_the_code_exist() -> None:
    """A comment that sends the reader to a decision names its file."""
    sources = [*ROOT.glob("galaxy_notify/**/*.py"), *ROOT.glob("lua/*.lua")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r"docs/decisions/([\w.-]+\.md)", text))
    assert len(named) >= 10
    assert named <= {path.name for path in _DECISIONS}


@pytest.mark.parametrize("path", _DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document__has_no_dead_links(path: Path) -> None:
    """Every relative link leads to a file or folder of the project."""
    links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    own = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in own if not (path.parent / link).exists()] == []
