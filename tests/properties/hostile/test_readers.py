"""Whatever stands in Redis, commands and daemons say what they can, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import Result

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.shared_settings import SharedSettings
from tests.properties.hostile.planting import ID, KEYS, MEMBER
from tests.properties.hostile.states import META, SHARED, STATES
from tests.support.command import command_for
from tests.support.program import program
from tests.support.servers import Server

_CODES = {0, 1, 3, 4}
COMMANDS: tuple[str, ...] = (
    "status",
    "status --json",
    f"show {ID}",
    f"show {ID} --json --payload",
    "list",
    "list --json --state failed --user u1",
    f"show {MEMBER}",
    "dead ls",
    "dead ls --json",
    "dead stats",
    f"dead show {MEMBER}",
    "dead export --all",
    "stream tail",
    "stream tail --json",
    "stream groups",
    "health",
    "doctor",
    "fsck",
    f"cancel {ID}",
    "dead replay --all --yes",
    "dead purge --all --yes",
    "fsck --fix",
)


def assert_civil(done: Result, codes: set[int] = _CODES) -> None:
    """Assert that a command ended with a known code, no traceback, and nothing that steers."""
    text = done.stdout + done.stderr
    assert done.exit_code in codes, text
    assert "internal error" not in text
    assert "Traceback" not in text
    assert all(c.isprintable() or c in "\n\t" for c in text), repr(text)


def _run_all(server: Server) -> Iterator[str]:
    command = command_for(server)
    for line in COMMANDS:
        try:
            assert_civil(command.run(*line.split()))
        except AssertionError as error:
            yield f"{line}: {error}"


@pytest.mark.parametrize("name", STATES)
def test_reader__bears_any_state(name: str, server: Server) -> None:
    """Every command tells what can be told, and none breaks."""
    with server.client() as client:
        STATES[name](client)
        assert list(_run_all(server)) == []


@pytest.mark.parametrize("key", SHARED)
def test_reader__bears_a_key_of_another_type(key: str, server: Server) -> None:
    """Every command copes with somebody else's value under any key, and leaves it alone."""
    with server.client() as client:
        client.zadd(KEYS.workers, {"w": int(client.time()[0]) * 1000})
        client.zadd(KEYS.schedule("push"), {MEMBER: 1})
        client.zadd(KEYS.dead("push"), {MEMBER: 1})
        client.delete(key)
        client.set(key, "foreign")
        assert list(_run_all(server)) == []
        assert client.get(key) == b"foreign"


@pytest.mark.parametrize(
    ("field", "value"), [(name, value) for name, values in META.items() for value in values]
)
def test_meta__of_anything_is_a_wrong_configuration(field: str, value: str | bytes) -> None:
    """What no deployment of ours agreed on is refused in the name of its field."""
    raw = value if isinstance(value, bytes) else value.encode()
    with pytest.raises(ConfigurationError, match=f"meta field {field} ") as error:
        SharedSettings.from_meta({field.encode(): raw})
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


def test_meta__of_anything_ends_every_command_with_78(server: Server) -> None:
    """Nobody works on a deployment of which nothing is known, and one line says so."""
    with server.client() as client:
        client.hset(KEYS.meta, mapping={"format": "2", "shards": "9" * 5000})
    for line in (*COMMANDS, "accept"):
        done = command_for(server).run(*line.split(), stdin='{"type":"t"}')
        assert_civil(done, {1} if line == "doctor" else {78})
        assert (done.stdout + done.stderr).count("meta field shards") == 1
        assert line == "doctor" or done.stderr.count("\n") == 1


def test_meta__of_anything_ends_a_daemon_with_78(server: Server) -> None:
    """A daemon does not begin on it, and says why."""
    with server.client() as client:
        client.hset(KEYS.meta, mapping={"format": "2", "shards": "9" * 5000})
    done = program(server, "run")
    assert done.returncode == 78
    assert "meta field shards is not a number" in done.stderr
    assert "Traceback" not in done.stderr


def test_meta__of_another_type(server: Server) -> None:
    """A foreign meta key is told as such."""
    with server.client() as client:
        client.set(KEYS.meta, "foreign")
    for line in COMMANDS:
        assert_civil(command_for(server).run(*line.split()), {1, 78})
