"""The repository itself: small files, links that lead somewhere, commands that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from galaxy_notify.cli.group import cli

ROOT = Path(__file__).parents[2]
THIS = Path(__file__).relative_to(ROOT)
LONGEST_FILE = 300

# Where some machine keeps its files, and from where it fetches packages: neither belongs here.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|opt|mnt|srv|workspace|Users)/\w")
PACKAGE_HOST = re.compile(
    r"(?:pypi|pythonhosted|deb\.debian|snapshot\.debian|ghcr)\.\w+\b|index-url"
)

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)")
COMMAND = re.compile(
    r"(?:^|[`$ ])galaxy-notify(?: --embedded| --config \S+)*((?: [a-z][a-z-]+){1,2})"
)
TARGET = re.compile(r"(?:`|\$ )make ([a-z]+)\b|^make ([a-z]+) *(?:#.*)?$", re.MULTILINE)


def _tracked() -> list[Path]:
    """List the files under version control (in an unpacked sdist: all files)."""
    try:
        told = subprocess.run(
            ["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, check=True
        ).stdout.decode()
        names = [Path(name) for name in told.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in names if (ROOT / name).is_file() and ".venv" not in name.parts]


TRACKED = _tracked()
DOCUMENTS = [path for path in TRACKED if path.suffix == ".md"]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_HOST], ids=["path", "host"])
def test_repository__knows_no_machine(pattern: re.Pattern[str]) -> None:
    """No file names a path of some machine, or a host that packages come from."""
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in TRACKED
        if path != THIS
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_repository__has_small_files() -> None:
    """A file of code that outgrows a reader's patience is divided."""
    lengths = {
        str(path): len((ROOT / path).read_text().splitlines())
        for path in TRACKED
        if path.suffix in (".py", ".lua")
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def _modules(path: Path) -> set[str]:
    """Return the names of the modules beside a file of unit tests: `__init__` is `exports`."""
    folder = ROOT / "galaxy_notify" / path.parent.relative_to("tests/unit")
    return {each.stem for each in folder.glob("*.py")} | {"exports"}


def test_unit_tests__bear_the_name_of_a_module() -> None:
    """`unit/<room>/test_<module>.py`, or `test_<module>_<part>.py` where one file is too long."""
    tests = [path for path in TRACKED if path.parts[:2] == ("tests", "unit")]
    strays = [
        str(path)
        for path in tests
        if not any(f"{path.stem}_".startswith(f"test_{module}_") for module in _modules(path))
    ]
    assert strays == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_document__has_links_that_lead_somewhere(document: Path) -> None:
    """Every relative link leads to a file of the repository, and to a heading that it has."""
    text = FENCE.sub("", (ROOT / document).read_text())
    for target, anchor in LINK.findall(text):
        path = ((ROOT / document).parent / target).resolve() if target else ROOT / document
        assert path.exists(), f"{document}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in _anchors(path), f"{document}: {target}#{anchor}"


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+?)\s*$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands() -> list[str]:
    """Collect the commands that the documents show, up to two words each."""
    text = "\n".join((ROOT / path).read_text() for path in DOCUMENTS)
    return sorted({words.strip() for words in COMMAND.findall(text)})


@pytest.mark.parametrize("words", _commands())
def test_document__shows_commands_that_exist(words: str) -> None:
    """Every command of the documents is one that the program knows."""
    done = CliRunner().invoke(cli, [*words.split(), "--help"])
    assert done.exit_code == 0, done.stderr


def test_document__shows_targets_that_exist() -> None:
    """Every `make` target of the documents stands in the Makefile."""
    text = "\n".join((ROOT / path).read_text() for path in DOCUMENTS)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {first or second for first, second in TARGET.findall(text)} <= targets
