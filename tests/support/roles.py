"""A user with one role's rights, and the steps of the job that the user does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from galaxy_notify.redis_state.roles import Role
from tests.support.command import CommandLine
from tests.support.deployment import DeploymentFixture
from tests.support.program import ROOT
from tests.support.servers import Server

ACL_FILE = ROOT / "config" / "users.acl"
#: The same users, each command that writes with keys of its own; no server before 7.0 knows it.
NARROW_FILE = ROOT / "config" / "users-selectors.acl"
PASSWORD = "secret"
#: Prepares as the administrator, yields once, and goes on as the user.
Act = Callable[["Stage"], Iterator[None]]


class Step(NamedTuple):
    """A part of a job; one that *lasts* is not repeated for every right."""

    act: Act
    lasts: bool


STEPS: dict[Role, dict[str, Step]] = {role: {} for role in Role}


def step(*roles: Role, lasts: bool = False) -> Callable[[Act], Act]:
    """Add a step to the jobs of some roles."""

    def add(act: Act) -> Act:
        for role in roles:
            STEPS[role][act.__name__] = Step(act, lasts)
        return act

    return add


def line_of(role: Role, file: Path = ACL_FILE) -> list[str]:
    """Return the shipped line of a role, word by word: the user's name, then the rules."""
    lines = [line.split()[1:] for line in file.read_text().splitlines()]
    (found,) = [words for words in lines if words[0] == f"galaxy-notify-{role}"]
    return found


class Stage:
    """A server with a user of one role, and what the administrator sees of it."""

    def __init__(self, server: Server, role: Role, file: Path = ACL_FILE) -> None:
        """Make the user, with the shipped rights."""
        self.server = server
        self.user = f"galaxy-notify-{role}"
        self.url = server.url.replace("unix://", f"unix://{self.user}:{PASSWORD}@")
        self.admin: Any = server.client(decode=True)
        self._opened = ExitStack()
        self.grant(line_of(role, file)[1:])

    def grant(self, rules: list[str]) -> None:
        """Give the user exactly these rights."""
        words = ["reset", "on", f">{PASSWORD}", *rules]
        self.admin.execute_command("ACL", "SETUSER", self.user, *words)

    def deploy(self, **settings: Any) -> DeploymentFixture:
        """Found a deployment as the administrator."""
        deployment = DeploymentFixture(self.server.url, **settings)
        self._opened.callback(deployment.close)
        return deployment

    def cli(
        self,
        *arguments: str,
        stdin: str | None = None,
        code: int = 0,
        settings: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command as the user; it must end with this code, unless something is denied."""
        done = CommandLine(self.url, settings).run(*arguments, stdin=stdin)
        assert done.exit_code == code or self.denied(), (arguments, done.output, done.stderr)
        return done.stdout

    def denied(self) -> set[str]:
        """Return what was denied since the step began: commands and keys."""
        entries: Any = self.admin.execute_command("ACL", "LOG", 1000)
        return {str(entry["object"]).lower() for entry in entries}

    def act(self, act: Act) -> set[str]:
        """Run a step on an empty server and return what was denied; raise what failed else."""
        self.server.flush()
        steps = act(self)
        next(steps)
        self.admin.execute_command("ACL", "LOG", "RESET")
        with self._opened.pop_all() as opened:
            del opened
            try:
                next(steps, None)
            except Exception:
                # Whatever the refusal became on its way up.
                if not self.denied():
                    raise
            return self.denied()

    def permissions(self) -> dict[str, Any]:
        """Return what doctor, run as the user, says of its rights."""
        settings = {"REDIS__USERNAME": self.user, "REDIS__PASSWORD": PASSWORD}
        found = CommandLine(self.server.url, settings).told("doctor")["findings"]
        (told,) = [each for each in found if each["check"] == "permissions"]
        return dict(told)

    def used(self) -> set[str]:
        """Return the first words of the commands that were run since the last step began."""
        stats: Any = self.admin.info("commandstats")
        return {name.removeprefix("cmdstat_").split("|")[0] for name in stats}

    def close(self) -> None:
        """Remove the user."""
        self.admin.execute_command("ACL", "DELUSER", self.user)
        self.admin.close()


@contextmanager
def stage(server: Server, role: Role, file: Path = ACL_FILE) -> Iterator[Stage]:
    """Have a user of a role while the block runs."""
    made = Stage(server, role, file)
    try:
        yield made
    finally:
        made.close()
