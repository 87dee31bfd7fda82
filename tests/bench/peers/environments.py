"""Environments in which the peers live, one each, made on first use and kept for the next run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

SCRIPTS = Path(__file__).parent / "scripts"
_INSTALL_S = 600
_VERSIONS = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"


class PeerError(Exception):
    """Tell why a peer cannot be installed or does not run."""


class Environment(Protocol):
    """What a peer needs from the place where it is installed."""

    folder: Path

    def prepare(self) -> None:
        """Install the newest release once per process; raise PeerError where that fails."""

    def version(self) -> str:
        """Return the versions of the packages that make up the peer."""

    def call(self, script: str, function: str) -> list[str]:
        """Return the command that calls a function of a script."""

    def module(self, *words: str) -> list[str]:
        """Return the command that runs an installed module."""


class _Installed(ABC):
    """An installation that is brought up to date once per process, and used as it is offline."""

    def __init__(self, name: str, *requirements: str) -> None:
        own = os.environ.get("BENCH_PEERS_DIR")
        cache = Path(own) if own else Path.home() / ".cache" / "galaxy-notify-bench"
        self.folder = cache.absolute() / name
        self.requirements = requirements
        self._outcome: PeerError | None = None
        self._prepared = False

    def prepare(self) -> None:
        if not self._prepared:
            self._prepared = True
            try:
                self._install()
                self._complete.touch()
            except PeerError as error:
                # Without a network, what an earlier run installed still serves.
                self._outcome = None if self._complete.exists() else error
        if self._outcome is not None:
            raise self._outcome

    @property
    def _complete(self) -> Path:
        return self.folder / "complete"

    @abstractmethod
    def _install(self) -> None:
        """Install the newest release; raise `PeerError` with the reason where that fails."""


class PythonEnvironment(_Installed):
    """A virtual environment with a Python peer; the first *packages* name its version."""

    def __init__(self, name: str, *requirements: str, packages: tuple[str, ...] = ()) -> None:
        super().__init__(name, *requirements)
        self._packages = packages or (name,)
        self._python = str(self.folder / "bin" / "python")

    def version(self) -> str:
        versions = _run([self._python, "-c", _VERSIONS, *self._packages]).split()
        first, *others = zip(self._packages, versions, strict=True)
        return ", ".join([first[1], *(f"{name} {version}" for name, version in others)])

    def call(self, script: str, function: str) -> list[str]:
        # Imported, not run, so that a job has the same name where it is enqueued and where done.
        return [self._python, "-c", f"import {script}; {script}.{function}()"]

    def module(self, *words: str) -> list[str]:
        return [self._python, "-m", *words]

    def _install(self) -> None:
        if not self._complete.exists():
            _run([sys.executable, "-m", "venv", "--clear", str(self.folder)])
        _run([*self.module("pip", "install", "--quiet", "--upgrade"), *self.requirements])


class NodeEnvironment(_Installed):
    """A folder of packages from npm; the first requirement is the peer."""

    def version(self) -> str:
        return ", ".join(
            [
                self._installed(self.requirements[0]),
                *(f"{name} {self._installed(name)}" for name in self.requirements[1:]),
                f"Node {_run(['node', '--version']).strip().removeprefix('v')}",
            ]
        )

    def call(self, script: str, function: str) -> list[str]:
        return ["node", str(SCRIPTS / f"{script}.mjs"), function]

    def module(self, *words: str) -> list[str]:
        return ["node", *words]

    def _install(self) -> None:
        for tool in ("node", "npm"):
            if shutil.which(tool) is None:
                raise PeerError(f"{tool} is not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        newest = [f"{name}@latest" for name in self.requirements]
        folder = ["--prefix", str(self.folder)]
        _run(["npm", "install", "--no-audit", "--no-fund", *folder, *newest])

    def _installed(self, package: str) -> str:
        about = self.folder / "node_modules" / package / "package.json"
        return str(json.loads(about.read_text())["version"])


class BunEnvironment(NodeEnvironment):
    """A folder of packages from npm that run on Bun, which is one of them."""

    def version(self) -> str:
        return ", ".join([self._installed(self.requirements[0]), f"Bun {self._installed('bun')}"])

    def call(self, script: str, function: str) -> list[str]:
        return [self._bun, str(SCRIPTS / f"{script}.mjs"), function]

    def module(self, *words: str) -> list[str]:
        return [self._bun, *words]

    def _install(self) -> None:
        super()._install()
        try:
            _run([self._bun, "--version"])
        except PeerError:
            # npm was set not to run the script that puts the program in place.
            _run(["npm", "rebuild", "--prefix", str(self.folder), "--foreground-scripts", "bun"])
            _run([self._bun, "--version"])

    @property
    def _bun(self) -> str:
        return str(self.folder / "node_modules" / ".bin" / "bun")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"cannot be installed: {error}") from error
    if done.returncode:
        raise PeerError(f"cannot be installed: {_reason(done.stderr or done.stdout)}")
    return done.stdout


def _reason(output: str) -> str:
    """Return the line that says why; without addresses, which differ from machine to machine."""
    lines = [line for line in output.splitlines() if line.strip()] or ["no reason was given"]
    told = [line for line in lines if re.match(r"ERROR|npm (ERR!|error)", line)]
    return re.sub(r"\w+://\S+", "…", (told or lines)[-1]).strip()
