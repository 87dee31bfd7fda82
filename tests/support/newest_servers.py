"""Fetch the newest Redis and Valkey that Debian packages, for `make test-all`.

``python -m tests.support.newest_servers FOLDER`` unpacks each server with the libraries of its own
release into FOLDER, and writes a program beside them that runs the server with its own loader.
Nothing is installed. The packages come from the archive that apt is already configured to use,
signed as always.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FLAVOURS = ("redis", "valkey")
_MAJOR = "8"
_SUITES = ("trixie", "forky")
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_APT_SECONDS = 300
_COMMAND_SECONDS = 60


class Unavailable(Exception):
    """The packages cannot be had on this machine; says why."""


class Archive:
    """Debian's archive, read with package lists of its own: the machine's are not touched."""

    def __init__(self, folder: Path) -> None:
        """Prepare to keep lists and packages below *folder*."""
        self._folder = folder
        for name in ("lists/partial", "archives/partial", "none"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        sources = [f"deb [signed-by={_KEYS}] {self._address()} {name} main\n" for name in _SUITES]
        (folder / "sources.list").write_text("".join(sources))
        self._apt("apt-get", "update", "--error-on=any")

    def newest(self, package: str) -> str:
        """Return the newest version of a package whose first number is 8."""
        listed = self._apt("apt-cache", "madison", package)
        for line in listed.splitlines():  # the newest first
            version = line.split("|")[1].strip()
            if version.rpartition(":")[2].startswith(f"{_MAJOR}."):
                return version
        raise Unavailable(f"no {package} {_MAJOR} in {', '.join(_SUITES)}")

    def packages(self, package: str, version: str) -> Iterator[Path]:
        """Download a package and all that it depends on."""
        archives = self._folder / "archives"
        self._apt("apt-get", "install", "--download-only", "--yes", f"{package}={version}")
        yield from archives.glob("*.deb")
        self._apt("apt-get", "clean")

    def _address(self) -> str:
        targets = _run("apt-get", "indextargets", "--format", "$(REPO_URI)|$(COMPONENT)|$(ORIGIN)")
        for line in targets.splitlines():
            address, component, origin = line.split("|")
            if (component, origin) == ("main", "Debian"):
                return address
        raise Unavailable("apt has no source of Debian's main archive")

    def _apt(self, command: str, *arguments: str) -> str:
        folder = self._folder
        options = {
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": folder / "none",
            "Dir::Etc::PreferencesParts": folder / "none",
            "Dir::State::Lists": folder / "lists",
            "Dir::State::Status": folder / "status",
            "Dir::Cache::Archives": folder / "archives",
            "Dir::Cache::PkgCache": "",
            "Dir::Cache::SrcPkgCache": "",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "true",
        }
        given = [f"-o{name}={value}" for name, value in options.items()]
        return _run(command, *given, *arguments, seconds=_APT_SECONDS)


def fetch(folder: Path) -> None:
    """Fetch every server into *folder*, each with a program to run it by; replaces older ones."""
    archive = Archive(folder / "apt")
    for flavour in FLAVOURS:
        name = f"{flavour}-server"
        version = archive.newest(f"{flavour}-tools")
        root = folder / flavour / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        for package in archive.packages(f"{flavour}-tools", version):
            _run("dpkg-deb", "--extract", str(package), str(root))
        program = folder / flavour / name
        program.write_text(_program(root, flavour))
        program.chmod(0o755)
        print(_run(str(program), "--version").strip())  # noqa: T201 - this module is a command


def _program(root: Path, flavour: str) -> str:
    loaders = sorted(root.glob("usr/lib*/ld-linux*.so.*")) or sorted(
        root.glob("usr/lib/*/ld-linux*.so.*")
    )
    servers = [root / f"usr/bin/{flavour}-server", root / f"usr/bin/{flavour}-check-rdb"]
    server = next((path for path in servers if path.exists()), None)
    if not loaders or server is None:
        raise Unavailable(f"the packages of {flavour} hold no server, or no loader")
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
    words = [loaders[0], "--library-path", libraries, "--argv0", f"{flavour}-server", server]
    command = " ".join(shlex.quote(str(word)) for word in words)
    return f'#!/bin/sh\nexec {command} "$@"\n'


def _run(*command: str, seconds: int = _COMMAND_SECONDS) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        words = re.sub(r"\s+", " ", done.stderr.strip()).rpartition("E: ")[2]
        raise Unavailable(f"{command[0]} ended with {done.returncode}: {words[:300]}")
    return done.stdout


def main() -> int:
    """Fetch into the folder that is named; 1, with a line that says why, where that fails."""
    try:
        fetch(Path(sys.argv[1]).resolve())
    except Unavailable as error:
        print(f"no newer servers: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
