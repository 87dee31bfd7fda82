"""``config check``: good settings are those with which it would start."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.access import open_async, open_sync
from galaxy_notify.settings import settings_from
from tests.support.command import NOWHERE, CommandLine
from tests.support.program import PROGRAM, ROOT
from tests.support.servers import Server
from tests.support.tls import Authority
from tests.support.wait import HANG_S

ENCODERS = """
import functools
import sys
from galaxy_notify.errors import TransientEncodingError

async def slow(notification, route): return b""
def many(notification, route): yield b""
def short(notification): return b""
good = functools.partial(lambda kind, notification, route: b"", "kind")
number = 7

class Needs:
    def __init__(self, name): pass
    def encode(self, notification, route): return b""
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Give a folder with modules of encoders, some of which cannot be imported."""
    (tmp_path / "own_encoders.py").write_text(ENCODERS)
    (tmp_path / "that_ends.py").write_text("raise SystemExit(0)")
    (tmp_path / "that_fails.py").write_text("1 / 0")
    return tmp_path


def ended(*command: str, folder: Any = None, **settings: str) -> tuple[int, list[str]]:
    """Run a command to its end; return its exit code and the lines of its standard error."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GALAXY_NOTIFY_")}
    path = os.pathsep.join(map(str, filter(None, [ROOT, folder])))
    ours = {"GALAXY_NOTIFY_REDIS__URL": NOWHERE, "PYTHONPATH": path}
    given = {f"GALAXY_NOTIFY_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [*PROGRAM, *command],
        env=environ | ours | given,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    return done.returncode, done.stderr.splitlines()


def assert_same(command: str, named: str, folder: Any = None, **settings: str) -> None:
    """Assert that the check and the start refuse alike: 78, and one line with the setting."""
    code, problems = ended("config", "check", folder=folder, **settings)
    assert (code, len(problems)) == (78, 1), problems
    assert named in problems[0]
    code, lines = ended(command, folder=folder, **settings)
    assert code == 78, lines
    assert problems[0] in lines[-1]


@pytest.mark.parametrize(
    ("encoder", "named"),
    [
        ("nowhere_at_all:encode", 'cannot load "nowhere_at_all:encode": ModuleNotFoundError'),
        ("own_encoders:absent", "AttributeError"),
        ("that_ends:encode", "SystemExit"),
        ("that_fails:encode", "ZeroDivisionError"),
        ("own_encoders:number", "is not a function"),
        ("own_encoders:slow", "is asynchronous"),
        ("own_encoders:many", "is a generator"),
        ("own_encoders:short", "does not take (notification, route)"),
        ("own_encoders:Needs", "cannot create"),
    ],
)
def test_check__loads_the_encoder(modules: Path, encoder: str, named: str) -> None:
    """What a daemon cannot use as an encoder is a problem, in the daemon's words."""
    code, problems = ended("config", "check", folder=modules, GATEWAY__ENCODER=encoder)
    assert (code, len(problems)) == (78, 1), problems
    assert problems[0].startswith("gateway.encoder: ")
    assert named in problems[0]


def test_check__takes_a_good_encoder(modules: Path) -> None:
    """One that works is no problem."""
    assert ended("config", "check", folder=modules, GATEWAY__ENCODER="own_encoders:good")[0] == 0


def test_check__says_what_run_says_of_an_encoder(modules: Path) -> None:
    """The words are the same."""
    assert_same("run", "gateway.encoder: ", modules, GATEWAY__ENCODER="own_encoders:slow")


CHANNELS = """
async def send(delivery): ...
async def find(user, channel): return []
def blocking(delivery): ...
"""
MINE = {"WORKER__CHANNELS": "push,mine", "CHANNELS__MINE__KIND": "own_channels:send"}
LOOKUP = {"CONTACTS__LOOKUP": "own_channels:find"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "contacts.keys: must be set for channels.mine, or contacts.lookup"),
        ({**LOOKUP, "CHANNELS__MINE__KIND": "own_channels:nowhere"}, "channels.mine.kind: cannot"),
        (
            {**LOOKUP, "CHANNELS__MINE__KIND": "own_channels:blocking"},
            "is not a coroutine function",
        ),
        ({**LOOKUP, "CHANNELS__MINE__KIND": "own_channels:find"}, "does not take (delivery)"),
        ({"CONTACTS__LOOKUP": "own_channels:send"}, "contacts.lookup: send does not take (user,"),
        (
            {**LOOKUP, "CHANNELS__MINE__UNLESS_READ": "true"},
            "channels.mine.unless_read: needs feed",
        ),
    ],
)
def test_check__looks_at_external_channels(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    """What a process could not send by is a problem, unless it leaves the channel to others."""
    (tmp_path / "own_channels.py").write_text(CHANNELS)
    given = {**MINE, **settings}
    assert_same("run", named, tmp_path, **given)
    assert ended("config", "check", folder=tmp_path, **given, WORKER__SERVES="push")[0] == 0


def test_check__takes_good_external_channels(tmp_path: Path) -> None:
    """A channel of one's own with a lookup, and one that needs no contacts, are no problem."""
    (tmp_path / "own_channels.py").write_text(CHANNELS)
    assert ended("config", "check", folder=tmp_path, **MINE, **LOOKUP)[0] == 0
    assert ended("config", "check", **{**MINE, "CHANNELS__MINE__KIND": "log"})[0] == 0


@pytest.mark.parametrize(
    "url",
    [
        "REDIS://h:1/0", "Rediss://h", "VALKEY://h", "unix:/run/redis.sock", "unix://run/redis.sock",
        "rediss://h?ssl_cert_reqs=NONE", "redis://h:0/0", "redis://h%20x/0", "redis://h?db=1&db=2",
        "redis://h/1?db=2", f"unix:///{'a' * 107}",
    ],
)  # fmt: skip
def test_check__refuses_urls_that_nobody_connects_to(url: str) -> None:
    """What the client refuses, or would take for something else, is refused by name."""
    (line,) = CommandLine(url).told("config", "check")["problems"]
    assert line.startswith("redis.url: m")
    assert line.endswith(" (from GALAXY_NOTIFY_REDIS__URL)")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h", "redis://[::1]:1/2", "rediss://u:p@h?ssl_cert_reqs=none", "valkey://h?db=3",
        "valkeys://h?ssl_check_hostname=False", "unix:///run/redis.sock?db=1",
        "unix://:pw@/run/redis.sock", "redis://h?username=u&password=p",
    ],
)  # fmt: skip
def test_urls__that_are_taken_make_clients(url: str) -> None:
    """Both clients make a connection of each form that passes."""
    settings = settings_from({"redis": {"url": url}})
    for opened in (open_sync, open_async):
        assert opened(settings).connection_pool.make_connection()


@pytest.mark.parametrize("address", ["h:0", "h:65536", "a..b:1", "[::x]:1", "[1:2]:1"])
def test_check__refuses_sentinels_that_nobody_connects_to(address: str) -> None:
    """A port, or an address, that there cannot be is refused by its place."""
    with pytest.raises(ConfigurationError, match=r"^redis\.sentinels\[0\]: must "):
        settings_from({"redis": {"sentinels": [address]}})


def tls(authority: Authority, **files: Path) -> Mapping[str, str]:
    """Return settings with these files in place of the good ones."""
    own = authority.issue("client")
    good = {"TLS_CA": authority.cert, "TLS_CERT": own.cert, "TLS_KEY": own.key}
    given = {f"REDIS__{name}": str(path) for name, path in {**good, **files}.items()}
    return {"REDIS__URL": "rediss://127.0.0.1:1", **given}


def test_check__loads_the_tls_files(tmp_path: Path) -> None:
    """A certificate without its key, a key with a password, and what is no certificate."""
    authority, empty = Authority(tmp_path, "ca"), tmp_path / "empty"
    empty.write_text("")
    other, locked = authority.issue("other"), tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", str(other.key), "-aes128", "-passout", "pass:x", "-out", locked],
        check=True,
    )
    assert ended("config", "check", **tls(authority))[0] == 0
    for name, path in (("TLS_KEY", other.key), ("TLS_CERT", empty), ("TLS_KEY", locked)):
        _, problems = ended("config", "check", **tls(authority, **{name: path}))
        assert len(problems) == 1
        assert problems[0].startswith("redis.tls_cert: must be a certificate in PEM")
    assert_same("run", "redis.tls_ca: must be a file of CA", **tls(authority, TLS_CA=empty))
    assert_same("intake", "redis.tls_cert: ", **tls(authority, TLS_KEY=other.key))


def test_check__looks_at_the_folder_of_the_embedded_server(tmp_path: Path) -> None:
    """It is judged as the start would, and nothing is made."""
    in_the_way, data = tmp_path / "file", tmp_path / "data"
    in_the_way.write_text("")
    given = {"REDIS__URL": "embedded"}
    assert ended("config", "check", **given, REDIS__STATE_DIR=str(data / "deep"))[0] == 0
    assert not data.exists()
    for folder in (in_the_way, in_the_way / "deep", tmp_path / ("a" * 107)):
        assert_same("run", "redis.state_dir: ", **given, REDIS__STATE_DIR=str(folder))
    data.mkdir(mode=0o755)
    (data / "something").write_text("")
    assert_same("run", "is accessible to other users", **given, REDIS__STATE_DIR=str(data))
    data.chmod(0o700)
    (data / "writer.json").write_text('{"flavour": "redis", "version": "99.0.0"}')
    assert_same("run", "was written by redis 99.0.0", **given, REDIS__STATE_DIR=str(data))


@pytest.mark.parametrize("durability", ["aof", "replicas:1"])
def test_check__refuses_what_an_embedded_server_cannot_confirm(durability: str) -> None:
    """It has no replicas, and its disk is a second late."""
    given = {"REDIS__URL": "embedded", "REDIS__DURABILITY": durability}
    assert_same("run", "redis.durability: must be none with redis.url embedded", **given)


def test_check__reads_the_key_of_jwts(tmp_path: Path) -> None:
    """A key that does not fit the algorithm is a problem, in the words of serve."""
    key = tmp_path / "key"
    key.write_text("no key at all")
    jwt = {"HTTP__JWT_KEY": str(key), "HTTP__JWT_ISSUER": "i", "HTTP__JWT_AUDIENCE": "a"}
    assert_same("serve", "http.jwt_key: must be a public key in PEM", **jwt)


def test_check__looks_for_the_host_to_listen_on() -> None:
    """An address that is not this machine's is a problem; for serve it may yet become one."""
    elsewhere = {"HTTP__HOST": "192.0.2.1", "HTTP__TOKENS": f"a:operator:{'0' * 64}"}
    code, problems = ended("config", "check", **elsewhere)
    assert code == 78
    assert problems[0].startswith("http.host: cannot listen on 192.0.2.1: ")
    code, lines = ended("serve", **elsewhere)
    assert code == 1
    assert "cannot listen on 192.0.2.1 port 8080: " in lines[-1]


def test_check__looks_for_the_extra_of_the_feed(tmp_path: Path) -> None:
    """A daemon that is to write the feed needs what the extra installs."""
    feed = {"FEED__ENABLED": "true", "FEED__URL": "postgresql://feed@localhost/feed"}
    assert ended("config", "check", **feed)[0] == 0
    missing = "raise ModuleNotFoundError('No module named psycopg', name='psycopg')"
    (tmp_path / "psycopg.py").write_text(missing)
    assert_same("run", "pip install 'galaxy-notify[feed]'", tmp_path, **feed)


def test_run__ends_where_the_server_has_no_such_database(any_server: Server) -> None:
    """Only the server knows how many it has: the start names the setting."""
    url = any_server.url.replace("db=0", "db=99999")
    code, lines = ended("run", REDIS__URL=url)
    assert code == 78
    assert "redis.url: the server has no such database" in lines[-1]


@pytest.mark.parametrize("name", ["meta", "schedule:push", "parked", "workers", "notification:1"])
def test_check__refuses_a_stream_in_the_place_of_another_key(name: str) -> None:
    """A stream has a key of its own."""
    (line,) = CommandLine(NOWHERE, {"GATEWAY__STREAM": f"{{gn:0}}:{name}"}).told("config", "check")[
        "problems"
    ]
    assert line.startswith("gateway.stream: must not be a key that the deployment uses")


@pytest.mark.parametrize("name", ["gn:intents", "gn:intents:rejects", "gn:intents:never"])
def test_check__refuses_one_key_for_two_streams(name: str) -> None:
    """The gateway stream is neither that of the intents nor that of the rejects."""
    (line,) = CommandLine(NOWHERE, {"GATEWAY__STREAM": name}).told("config", "check")["problems"]
    assert line.startswith("intake.stream: must differ from gateway.stream")


def test_check__counts_what_differs_from_the_defaults(tmp_path: Path) -> None:
    """A setting that a file names with its default is not counted as changed."""
    file = tmp_path / "settings.toml"
    text = CommandLine(NOWHERE).run("config", "defaults").stdout
    changed = text.replace("slots = 2", "slots = 4").replace("max_attempts = 8", "max_attempts = 9")
    file.write_text(changed)
    done = CommandLine("redis://127.0.0.1:6379/0").run("--config", str(file), "config", "check")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(
        " settings, 2 changed from the default: worker.slots, retry.max_attempts\n"
    )
