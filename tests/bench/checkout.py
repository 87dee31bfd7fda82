"""Another commit beside this one: its source, and an environment of its own, made once.

Both lie in ``.bench/`` of this checkout, in a folder named after the commit, and are used again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_CACHE = ROOT / ".bench"
_LAUNCH = Path(__file__).with_name("launch.py")


class BaseError(Exception):
    """Says why another commit cannot be measured; one line for who runs the benchmark."""


class Checkout(NamedTuple):
    """A version of the package that can be run: `HERE`, or another commit."""

    name: str
    root: Path
    python: str

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module with this version of the package.

        Modules of the benchmark are those of this checkout in any case.
        """
        if module.partition(".")[0] == "tests":
            return [self.python, str(_LAUNCH), module, str(self.root), *arguments]
        return [self.python, "-m", module, *arguments]


HERE = Checkout("this checkout", ROOT, sys.executable)


def default_base(root: Path = ROOT) -> str | None:
    """Return the newest tag before HEAD, else the commit before; None without either.

    A tag comes first because small losses add up between releases, and the commit before shows
    only its own.
    """
    tag = _git(root, "describe", "--tags", "--abbrev=0", "HEAD^")
    return tag or _git(root, "rev-parse", "--verify", "--quiet", "HEAD^")


def commit_of(ref: str, root: Path = ROOT) -> str:
    """Return the full name of a commit; raise `BaseError` for a ref that names none."""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if commit is None:
        raise BaseError(f"BASE={ref}: no commit of this repository has this name")
    return commit


def checkout_of(ref: str) -> Checkout:
    """Return the commit with an environment, made at the first use; raise `BaseError`."""
    commit = commit_of(ref)
    folder = _CACHE / commit[:12]
    made = Checkout(commit[:12], folder / "source", str(folder / "venv" / "bin" / "python"))
    complete = folder / "complete"
    if not complete.exists():
        print(f"making an environment for {ref} ({commit[:12]})", flush=True)
        _make(commit, folder, made)
        complete.touch()
    return made


def _make(commit: str, folder: Path, made: Checkout) -> None:
    made.root.mkdir(parents=True, exist_ok=True)
    archive = folder / "source.tar"
    _run("git", "-C", str(ROOT), "archive", "--output", str(archive), commit)
    _run("tar", "-x", "-f", str(archive), "-C", str(made.root))
    archive.unlink()
    _run(sys.executable, "-m", "venv", "--clear", str(folder / "venv"))
    pip = [made.python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    constraints = str(made.root / "constraints.txt")
    _run(*pip, "--constraint", constraints, "--editable", f"{made.root}[http]")


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except OSError as error:
        raise BaseError(f"no environment for the other commit: {error}") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "no reason given").strip().splitlines()
        raise BaseError(f"no environment for the other commit: {lines[-1]}") from error
