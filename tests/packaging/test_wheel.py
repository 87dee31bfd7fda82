"""What is shipped works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from galaxy_notify import __version__
from tests.support.wait import HANG_S

pytestmark = pytest.mark.extended

ROOT = Path(__file__).parents[2]


def _run(*command: str | Path, cwd: Path, timeout: float = HANG_S) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and from it the wheel, with the tools of this environment."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a fresh environment that borrows the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = dist.glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet")
    _run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    deployment = Path(_run(python, "-c", _SITE, cwd=folder).strip())
    # A path added by a .pth file is not searched for further ones: the editable install of the
    # checkout stays invisible.
    (deployment / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
_WHERE = "import galaxy_notify; print(galaxy_notify.__file__)"


def test_wheel__holds_the_scripts_and_the_types(dist: Path) -> None:
    """The wheel holds every Lua script, the browser client, the pages, and that it is typed."""
    (wheel,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    scripts = {f"galaxy_notify/lua/{path.name}" for path in (ROOT / "lua").glob("*.lua")}
    assert scripts
    client = {f"galaxy_notify/realtime/client/client.{end}" for end in ("js", "d.ts")}
    pages = {
        *(f"galaxy_notify/realtime/bell/bell.{end}" for end in ("html", "css", "js")),
        *(f"galaxy_notify/stage/page/{name}" for name in ("index.html", "stage.css", "stage.js")),
    }
    assert scripts | client | pages | {"galaxy_notify/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "lua/"))]


def test_sdist__holds_what_an_operator_needs(dist: Path) -> None:
    """The sdist holds the settings file, the unit, the tests and what builds them."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "LICENSE",
        "Makefile",
        "README.md",
        "config/galaxy_notify.toml",
        "constraints.txt",
        "systemd/galaxy-notify-feed.service",
        "systemd/galaxy-notify-gateway.service",
        "systemd/galaxy-notify-http.service",
        "systemd/galaxy-notify.service",
        "tests/conftest.py",
    }


def test_wheel__runs_away_from_the_checkout(installed: Path) -> None:
    """The installed command starts, by either name, from the wheel's own files."""
    binaries = installed / "venv" / "bin"
    where = _run(binaries / "python", "-c", _WHERE, cwd=installed)
    assert Path(where.strip()).is_relative_to(installed)
    told = _run(binaries / "galaxy-notify", "--version", cwd=installed)
    assert __version__ in told
    assert told == _run(binaries / "python", "-m", "galaxy_notify", "--version", cwd=installed)


def test_wheel__runs_the_demo(installed: Path) -> None:
    """The demo runs from the wheel alone: it finds its scripts and the bundled server."""
    assert _run(installed / "venv" / "bin" / "galaxy-notify", "demo", cwd=installed)
