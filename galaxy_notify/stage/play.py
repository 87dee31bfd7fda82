"""What happens on the stage: its servers and processes, what is sent, and what is seen of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.deployment import Deployment, connect
from galaxy_notify.settings import Settings
from galaxy_notify.stage.board import Board
from galaxy_notify.stage.people import PEOPLE, USERS, token_of
from galaxy_notify.stage.postbox import Postbox
from galaxy_notify.stage.processes import StageProcess, Works, answers, has_logged
from galaxy_notify.stage.sending import Refused, read_sending
from galaxy_notify.stage.servers import EMAIL_DELAY_MS, Servers

_LOOK_EVERY_S: Final = 0.15
WORKER: Final = "worker"


class _Role(NamedTuple):
    """A process, its own settings, and what says that it works."""

    process: StageProcess
    environ: Mapping[str, str]
    works: Works


class StagePlay:
    """A deployment with one worker and a gateway process for each person.

    *ports* are those of the gateways: they stay the same, for the frames of the page are there.
    """

    def __init__(self, servers: Servers, folder: Path, ports: Sequence[int]) -> None:
        self.scene: Mapping[str, Any] = {"processes": [], "routes": [], "more": 0, "mails": []}
        self.is_over = False
        self.frames = [f"http://127.0.0.1:{port}" for port in ports]
        bells = zip(PEOPLE, self.frames, strict=True)
        self.about: Mapping[str, Any] = {
            "people": [
                {"user": person.user, "name": person.name, "bell": f"{frame}/bell"}
                | {"gateway": person.gateway}
                for person, frame in bells
            ],
            "email_delay_ms": EMAIL_DELAY_MS,
        }
        self._secret = servers.secret
        self._postbox = Postbox(servers.postbox)
        self._roles = _roles(servers, folder, ports)
        self._board: Board | None = None
        self._deployment: Deployment | None = None
        self._notifier: AsyncNotifier | None = None

    async def begin(self, settings: Settings) -> None:
        """Found the deployment; what the page shows can be read from now on."""
        self._deployment = await asyncio.to_thread(connect, settings, join=True)
        self._board = Board(self._deployment)
        self._notifier = AsyncNotifier(settings)

    async def keep(self) -> None:
        """Keep all processes, and what the page shows, until `end`.

        Raises `Unavailable` or `ConfigurationError` where a process does not even work once.
        """
        async with asyncio.TaskGroup() as group:
            for role in self._roles:
                group.create_task(role.process.keep(role.environ, role.works))
            group.create_task(self._watch())

    async def ready(self) -> None:
        """Wait until each process works."""
        for role in self._roles:
            await role.process.has_worked.wait()

    async def end(self) -> None:
        """End all processes, then what reads."""
        self.is_over = True
        for role in self._roles:
            role.process.ask_to_end()
        await asyncio.gather(*(role.process.ended() for role in self._roles))
        if self._notifier is not None:
            await self._notifier.close()
        if self._deployment is not None:
            self._deployment.close()

    async def send(self, asked: Any) -> Mapping[str, Any]:
        """Notify users as the form asks; raise `Refused`."""
        if self._notifier is None or self._board is None:
            raise Refused("the stage is not ready yet")
        sending = read_sending(asked)
        try:
            receipt = await self._notifier.accept(sending.intent)
        except Unavailable as error:
            raise Refused(f"not accepted now: {error}") from error
        if receipt.error is not None:
            raise Refused(f"{receipt.error.field}: {receipt.error.message}")
        name = str(receipt.notification_id)
        self._board.track(name, sending)
        return {"id": name, "users": sending.users, "due_at_ms": sending.due_at_ms}

    def token(self, asked: Any) -> Mapping[str, Any]:
        """Return a token of a user of the stage; raise `Refused`."""
        user = asked.get("user") if isinstance(asked, dict) else None
        if user not in USERS:
            raise Refused("user: must be a user of the stage")
        return {"token": token_of(user, self._secret)}

    def kill(self, asked: Any) -> Mapping[str, Any]:
        """Kill a process, which is started again; raise `Refused`."""
        name = asked.get("process") if isinstance(asked, dict) else None
        for role in self._roles:
            if role.process.name == name:
                role.process.kill()
                self._look({})
                return {"killed": name}
        raise Refused("process: must be a process of the stage")

    async def _watch(self) -> None:
        """Read again and again what the page shows."""
        while not self.is_over:
            routes: Mapping[str, Any] = {}
            if self._board is not None:
                # Redis may be slow for a moment: the page shows what was read last.
                with suppress(RedisFault):
                    routes = await asyncio.to_thread(self._board.read)
            self._look(routes)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self, routes: Mapping[str, Any]) -> None:
        mails = [mail._asdict() for mail in self._postbox.newest()]
        processes = [role.process.document for role in self._roles]
        scene = {**self.scene, **routes, "processes": processes, "mails": mails}
        if scene != self.scene:
            self.scene = scene


def _roles(servers: Servers, folder: Path, ports: Sequence[int]) -> list[_Role]:
    config = ["--config", str(servers.config)]
    worker = StageProcess(WORKER, [*config, "run"], folder)
    works = has_logged(worker.log, "daemon working", "feed writing")
    roles = [_Role(worker, servers.environ, works)]
    for person, port in zip(PEOPLE, ports, strict=True):
        gateway = StageProcess(person.gateway, [*config, "gateway"], folder)
        environ = {**servers.environ, "GALAXY_NOTIFY_REALTIME__PORT": str(port)}
        roles.append(_Role(gateway, environ, answers(port)))
    return roles
