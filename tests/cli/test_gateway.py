"""The command `gateway` where it cannot start: one line says why."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.gateways import AUDIENCE, SECRET
from tests.support.program import program
from tests.support.servers import Server

_USUAL = f'jwt_algorithm = "HS256"\njwt_secret = "{SECRET}"\naudience = "{AUDIENCE}"\nport = 0\n'


def _run(server: Server, folder: Path, text: str) -> tuple[int, str]:
    path = folder / "settings.toml"
    path.write_text(text)
    done = program(server, "--config", str(path), "gateway")
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "realtime.jwt_key"),
        ('[realtime]\njwt_algorithm = "HS256"\n', "realtime.jwt_"),
        (f'[realtime]\njwt_algorithm = "HS256"\njwt_secret = "{SECRET}"\n', "realtime.audience"),
        (f"[realtime]\n{_USUAL}".replace(SECRET, "short"), "realtime.jwt_secret"),
        (f"[realtime]\n{_USUAL}".replace("HS256", "none"), "realtime.jwt_algorithm"),
        (f"[realtime]\n{_USUAL}".replace("HS256", "RS256"), "realtime.jwt_"),
        (f"[realtime]\n{_USUAL}unknown = 1\n", "realtime.unknown"),
        (f"[realtime]\n{_USUAL}history = 0\n", "realtime.history"),
        (f"[realtime]\n{_USUAL}history = 301\n", "realtime.history"),
        (f'[realtime]\n{_USUAL}cookie = "session"\n', "realtime.cookie"),
        (f'[realtime]\n{_USUAL}allowed_origins = ["*"]\n', "realtime.allowed_origins"),
        (
            f'[realtime]\n{_USUAL}allowed_origins = ["https://a.example/x"]\n',
            "realtime.allowed_origins",
        ),
        (f"[realtime]\n{_USUAL}serve = false\nconsume = false\n", "realtime.serve"),
        (f'[realtime]\n{_USUAL}host = ""\n', "realtime.host"),
        ("[realtime\n", "settings.toml"),
    ],
)
def test_mistake__is_78_and_one_line(
    server: Server, tmp_path: Path, text: str, reason: str
) -> None:
    """The line names the setting; nothing was served."""
    code, stderr = _run(server, tmp_path, text)
    assert code == 78, stderr
    assert reason in stderr
    assert "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr
    assert SECRET not in stderr


def test_private_key__is_refused(server: Server, tmp_path: Path) -> None:
    """A key that signs has no place where tokens are verified."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    text = f'[realtime]\njwt_key = "{tmp_path / "key.pem"}"\naudience = "a"\nport = 0\n'
    code, stderr = _run(server, tmp_path, text)
    assert (code, len(stderr.splitlines())) == (78, 1), stderr
    assert "private" in stderr


def test_file__that_is_missing_is_78(server: Server) -> None:
    """A settings file that was named must be there."""
    done = program(server, "--config", "no-such-file.toml", "gateway")
    assert (done.returncode, len(done.stderr.splitlines())) == (78, 1)
    assert "no-such-file.toml" in done.stderr


def test_port__that_is_taken_is_1_and_one_line(server: Server, tmp_path: Path) -> None:
    """The line names the address and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, stderr = _run(server, tmp_path, f"[realtime]\n{_USUAL}".replace("= 0", f"= {port}"))
    assert code == 1, stderr
    line = stderr.strip().splitlines()[-1]
    assert f"127.0.0.1 port {port}" in line
    assert "in use" in line
