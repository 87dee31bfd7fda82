"""A defect in one part of a daemon: it ends with it, and the other parts end what they do first."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.daemon.process import Daemon
from galaxy_notify.daemon.status import StatusLine
from galaxy_notify.publishing.janitor import Janitor
from galaxy_notify.publishing.worker import ShardWorker
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.settings import settings_from
from galaxy_notify.telemetry import Telemetry
from tests.support.servers import Server


class Defect(Exception):
    pass


async def _break(*_: object) -> None:
    raise Defect


def _run(server: Server) -> None:
    settings = settings_from({"redis": {"url": server.url}})
    daemon = Daemon(settings, Telemetry.off(), lambda: settings)
    with pytest.raises(Defect):
        asyncio.run(daemon.run())


def test_worker__that_breaks_lets_the_janitor_end_its_call(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call in flight is answered, not cancelled."""
    begun, ended = asyncio.Event(), []
    take_lock = JanitorStore.take_lock

    async def slowly(store: JanitorStore, worker_id: str) -> bool:
        begun.set()
        taken = await take_lock(store, worker_id)
        ended.append(worker_id)
        return taken

    async def late(*_: object) -> None:
        await begun.wait()
        raise Defect

    monkeypatch.setattr(JanitorStore, "take_lock", slowly)
    monkeypatch.setattr(ShardWorker, "run", late)
    _run(server)
    assert ended


@pytest.mark.parametrize("part", [Janitor, StatusLine])
def test_part__that_breaks_ends_the_daemon(
    server: Server, monkeypatch: pytest.MonkeyPatch, part: type
) -> None:
    """None of them stays away unnoticed."""
    monkeypatch.setattr(part, "run", _break)
    _run(server)
