"""Another commit beside this one: which it is, and whose package it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bench.checkout import HERE, BaseError, commit_of, default_base


def _git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(root), *who, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository of three commits."""
    _git(tmp_path, "init", "--quiet")
    for number in range(3):
        _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", f"commit {number}")
    return tmp_path


def test_default_base__is_the_commit_before_without_a_tag(repository: Path) -> None:
    """A repository without tags compares with the last step."""
    assert default_base(repository) == _git(repository, "rev-parse", "HEAD^")


def test_default_base__is_the_last_tag_before_head(repository: Path) -> None:
    """A tag at HEAD is what is measured; the one before it is what it is compared with."""
    _git(repository, "tag", "v1", "HEAD~2")
    _git(repository, "tag", "v2", "HEAD")
    assert default_base(repository) == "v1"


def test_default_base__is_nothing_where_there_is_no_commit_before(tmp_path: Path) -> None:
    """An unpacked source archive has no commits."""
    assert default_base(tmp_path) is None


@pytest.mark.parametrize("ref", ["no-such-ref", "--all", ""])
def test_commit_of__refuses_an_unknown_ref_in_one_line(repository: Path, ref: str) -> None:
    """The message names what was given."""
    with pytest.raises(BaseError, match=f"^BASE={ref}: no commit") as refused:
        commit_of(ref, repository)
    assert "\n" not in str(refused.value)


def test_commit_of__takes_any_name_of_a_commit(repository: Path) -> None:
    """A tag, a branch or a part of the name lead to the same commit."""
    _git(repository, "tag", "--annotate", "v1", "--message", "v1")
    head = _git(repository, "rev-parse", "HEAD")
    assert {commit_of(ref, repository) for ref in ("v1", "HEAD", head[:10])} == {head}


def test_command__runs_this_benchmark_with_the_other_package(tmp_path: Path) -> None:
    """`galaxy_notify` is the other commit's, `tests` is this one's, whatever either has."""
    for package in ("galaxy_notify", "tests"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"print('{package} of the other')\n")
    other = HERE._replace(root=tmp_path)
    command = other.command("tests.bench.texts")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "galaxy_notify of the other\n"
