"""``prefs``: what users want is shown, changed, taken in by the line, and given out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.model.user_preferences import MOST_FIELDS
from tests.support.command import NOWHERE, CommandLine, command_for
from tests.support.refusing import out_of_memory
from tests.support.servers import Server

NOTHING: dict[str, Any] = {"*": None, "types": {}, "silenced": False, "quiet": None}
NIGHT = {"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"}


def with_email(server: Server, **settings: str) -> CommandLine:
    """Return the command line of a deployment with two channels."""
    return command_for(server, WORKER__CHANNELS='["push","email"]', **settings)


def documents(text: str) -> list[Any]:
    """Read JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def line(user: str, **preferences: Any) -> str:
    """Return a line to import."""
    return json.dumps({"user": user, "preferences": preferences})


def test_get__of_one_who_never_said_anything(server: Server) -> None:
    """The defaults are told, and it is no failure."""
    command = command_for(server)
    assert command.told("prefs", "get", "u1") == {
        "user": "u1",
        "preferences": NOTHING,
        "unreadable": [],
    }
    done = command.run("prefs", "get", "u1")
    assert done.exit_code == 0
    assert done.stdout.split() == [
        "u1",
        "type",
        "channels",
        "from",
        "in_app",
        "every",
        "type",
        "as",
        "the",
        "intent",
        "says",
        "info",
        "yes",
    ]


def test_set__shows_what_holds_now(server: Server) -> None:
    """Types, channels, severity and quiet hours are set together and shown."""
    command = with_email(server)
    command.run("prefs", "set", "u1", "--channels", "push, email", "--min-severity", "warning")
    command.run("prefs", "set", "u1", "--type", "chat", "--channels", "", "--no-in-app")
    done = command.run(
        *["prefs", "set", "u1", "--type", "order.late", "--min-severity", "info"],
        *["--quiet", "22:00-07:00", "--zone", "Europe/Berlin"],
    )
    assert done.exit_code == 0, done.output
    assert [row.split() for row in done.stdout.splitlines()] == [
        ["u1"],
        ["type", "channels", "from", "in_app"],
        ["every", "type", "email,", "push", "warning", "yes"],
        ["chat", "none", "as", "every", "type", "no"],
        ["order.late", "as", "every", "type", "info", "as", "every", "type"],
        ["quiet", "from", "22:00", "to", "07:00,", "Europe/Berlin"],
    ]
    told = command.told("prefs", "set", "u1", "--no-quiet", "--channels", "push")
    assert told == {
        "user": "u1",
        "changed": True,
        "preferences": {
            "*": {"channels": ["push"]},
            "types": {
                "chat": {"channels": [], "in_app": False},
                "order.late": {"min_severity": "info"},
            },
            "silenced": False,
            "quiet": None,
        },
        "unreadable": [],
    }


def test_unset__and_delete_take_away(server: Server) -> None:
    """What was set of a type, of every type, and the whole user; twice is no failure."""
    command = command_for(server)
    for arguments in ("--channels push", "--type chat --channels push"):
        command.run("prefs", "set", "u1", *arguments.split())
    assert command.told("prefs", "unset", "u1")["preferences"]["*"] is None
    for changed in (True, False):
        told = command.told("prefs", "unset", "u1", "--type", "chat")
        assert (told["changed"], told["preferences"]) == (changed, NOTHING)
    command.run("prefs", "silence", "u1")
    assert [command.told("prefs", "delete", "u1")["changed"] for _ in range(2)] == [True, False]


def test_silence__until_resume(server: Server) -> None:
    """Silence is shown, and resume leaves exactly what was set before."""
    command = command_for(server)
    before = command.told("prefs", "set", "u1", "--type", "chat", "--channels", "")
    done = command.run("prefs", "silence", "u1")
    assert done.exit_code == 0
    assert "silenced: receives only mandatory types" in done.stdout
    assert command.told("prefs", "get", "u1")["preferences"]["silenced"]
    after = command.told("prefs", "resume", "u1")
    assert after == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("set u1", "nothing to set"),
        ("set u1 --channels psuh", 'channels[0]: unknown channel "psuh" (known: push)'),
        ("set u1 --type chat", "needs channels, min_severity or in_app"),
        ("set u1 --type a/b --channels push", "type: must match"),
        ("set u1 --min-severity watch", "'watch' is not one of"),
        ("set u1 --quiet 22:00-07:00", "--quiet and --zone require each other"),
        ("set u1 --zone UTC", "--quiet and --zone require each other"),
        ("set u1 --quiet 22-7 --zone UTC", 'quiet.from: must be a time such as "22:00", not "22"'),
        ("set u1 --quiet 22:00 --zone UTC", 'quiet.to: must be a time such as "22:00", not ""'),
        ("set u1 --quiet 22:00-07:00 --zone Mars", "quiet.zone: must be a time zone"),
        ("set u1 --quiet 22:00-07:00 --zone UTC --no-quiet", "use --quiet or --no-quiet, not both"),
        ("set a/b --channels push", "user: must match"),
        ("get a/b", "user: must match"),
        ("silence a/b", "user: must match"),
    ],
)
def test_prefs__wrong_usage_is_2_and_stores_nothing(
    server: Server, arguments: str, reason: str
) -> None:
    """What is wrong is named, in the words of the option or of the field."""
    done = command_for(server).run("prefs", *arguments.split())
    assert done.exit_code == 2
    assert reason in done.stderr
    with server.client() as client:
        assert list(client.scan_iter(match="*prefer*")) == []


def test_prefs__without_redis_is_1(server: Server) -> None:
    """Each command says in one line that Redis is away."""
    del server
    for arguments in (["get", "u1"], ["silence", "u1"], ["export"]):
        done = CommandLine(NOWHERE).run("prefs", *arguments)
        assert done.exit_code == 1
        assert "redis is away: " in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_import__answers_line_by_line(server: Server) -> None:
    """Good lines are stored whatever stands between them; the code is 4."""
    lines = [
        line("u1", types={"chat": {"channels": []}}, quiet=NIGHT),
        "",
        "{bad",
        line("u2", mood="fine"),
        line("u 3", silenced=True),
        line("u4", **{"*": {"channels": ["psuh"]}}),
        line("u5", types={"chat": {"channels": "push"}}),
        '{"user":"u6"}',
        line("u7", silenced=True),
        line("u1", silenced=True),
        line("u1", silenced=True),
    ]
    command = command_for(server, WORKER__SHARDS="3")
    done = command.run("prefs", "import", stdin="\n".join(lines))
    told = documents(done.stdout)
    assert done.exit_code == 4
    assert [(one["line"], one["user"], one["status"]) for one in told] == [
        (1, "u1", "stored"),
        (3, None, "refused"),
        (4, "u2", "refused"),
        (5, None, "refused"),
        (6, "u4", "refused"),
        (7, "u5", "refused"),
        (8, "u6", "refused"),
        (9, "u7", "stored"),
        (10, "u1", "stored"),
        (11, "u1", "unchanged"),
    ]
    errors = {one["line"]: one["error"]["field"] for one in told if one["error"]}
    assert errors == {
        3: "",
        4: "preferences.mood",
        5: "user",
        6: "preferences.*.channels[0]",
        7: "preferences.types.chat.channels",
        8: "preferences",
    }
    assert command.told("prefs", "get", "u1")["preferences"] == {**NOTHING, "silenced": True}


def test_import__exit_codes(server: Server, tmp_path: Path) -> None:
    """0 where all are stored, also of nothing; 1 where all are refused; 2 for no file."""
    command = command_for(server)
    file = tmp_path / "users.jsonl"
    file.write_text(line("u1", silenced=True) + "\n")
    assert command.run("prefs", "import", str(file)).exit_code == 0
    assert command.run("prefs", "import", stdin="").exit_code == 0
    assert command.run("prefs", "import", stdin="[]\n7\n").exit_code == 1
    assert command.run("prefs", "import", str(tmp_path / "none")).exit_code == 2


def test_import__says_which_lines_are_unknown(server: Server) -> None:
    """Without Redis, or where it cannot write, nothing is told as stored."""
    stdin = "".join(line(f"u{number}", silenced=True) + "\n" for number in range(3))
    done = CommandLine(NOWHERE).run("prefs", "import", stdin=stdin)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "unknown: lines 1-3" in done.stderr
    assert "running it again is safe" in done.stderr
    command_for(server).run("prefs", "silence", "u9")
    with out_of_memory(server):
        done = command_for(server).run("prefs", "import", stdin=stdin)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "OOM" in done.stderr
    assert "unknown: lines 1-3" in done.stderr


def test_import__one_user_that_cannot_be_stored_harms_no_other(server: Server) -> None:
    """A key that holds something else, and too many types, refuse their own lines alone."""
    with server.client() as client:
        client.set("{gn:0}:preferences:u1", "foreign")
    many: dict[str, Any] = {f"t{number}": {"channels": []} for number in range(MOST_FIELDS)}
    lines = [line("u1", silenced=True), line("u2", types=many), line("u3", silenced=True)]
    done = command_for(server).run("prefs", "import", stdin="\n".join(lines))
    told = documents(done.stdout)
    assert done.exit_code == 4
    assert [one["status"] for one in told] == ["refused", "refused", "stored"]
    assert [one["error"]["code"] for one in told[:2]] == ["conflict", "too_large"]
    done = command_for(server).run("prefs", "silence", "u1")
    assert done.exit_code == 1
    assert "has another type" in done.stderr


def test_export__gives_what_import_takes(server: Server) -> None:
    """All users of all shards come out, and go into another deployment as they were."""
    here = with_email(server, WORKER__SHARDS="3")
    given = [
        line(f"u{number}", types={"chat": {"channels": ["email"]}}, silenced=number % 2 == 0)
        for number in range(700)
    ]
    given.append(line("v", **{"*": {"min_severity": "notice"}}, quiet=NIGHT))
    given.append(line("w"))
    assert here.run("prefs", "import", stdin="\n".join(given)).exit_code == 0
    done = here.run("prefs", "export")
    assert done.exit_code == 0
    exported = {one["user"]: one["preferences"] for one in documents(done.stdout)}
    assert len(exported) == len(done.stdout.splitlines()) == 701
    assert exported["v"] == {**NOTHING, "*": {"min_severity": "notice"}, "quiet": NIGHT}
    again = documents(here.run("prefs", "import", stdin=done.stdout).stdout)
    assert {one["status"] for one in again} == {"unchanged"}
    there = with_email(server, REDIS__PREFIX="other")
    there.run("prefs", "import", stdin=done.stdout)
    moved = {
        one["user"]: one["preferences"] for one in documents(there.run("prefs", "export").stdout)
    }
    assert moved == exported


def test_export__leaves_out_what_cannot_be_read(server: Server) -> None:
    """It is told on standard error, with 4; everybody else comes out."""
    command = command_for(server)
    command.run("prefs", "silence", "u1")
    with server.client() as client:
        client.hset("{gn:0}:preferences:u1", "quiet", "never")
        client.hset("{gn:0}:preferences:u2", "*", "\x1b[2J")
        client.set("{gn:0}:preferences:u3", "foreign")
        client.hset(b"{gn:0}:preferences:\xff\x1b", "silenced", "1")
    done = command.run("prefs", "export")
    assert done.exit_code == 4
    assert documents(done.stdout) == [{"user": "u1", "preferences": {**NOTHING, "silenced": True}}]
    assert sorted(done.stderr.splitlines()) == [
        r"\xff\x1b: unreadable, left out: (the name)",
        "u1: unreadable, left out: quiet",
        "u2: unreadable, left out: *",
        "u3: unreadable, left out: (all)",
    ]
    shown = command.run("prefs", "get", "u2")
    assert shown.exit_code == 0
    assert "unreadable, treated as not set: *" in shown.stderr
