"""Events of several shards are answered in the order in which they were given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from galaxy_notify.live import placing as module
from galaxy_notify.live.placing import Placing, incoming
from galaxy_notify.model.live_event import LiveEvent, Retraction
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.recent import RecentLimits
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings

_USERS = [f"u{number}" for number in range(40)]
#: A user whose list is broken.
_BROKEN = "u7"


def test_placing__answers_in_the_order_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever shard a user is on, and whichever list is broken."""

    async def answer(_: object, calls: Sequence[ScriptCall]) -> Sequence[object]:
        return [_reply(call) for call in calls]

    async def no_telling(*_: object) -> None:
        return None

    monkeypatch.setattr(module, "run_all", answer)
    monkeypatch.setattr(module, "tell_instances", no_telling)
    client: Any = None
    key_space = KeySpace("gn", SharedSettings(shards=8))
    placing = Placing(client, key_space, RecentLimits(100, 1000))
    events = [incoming(user, Retraction("0" * 32), 0) for user in _USERS]
    placed = asyncio.run(placing.place(events))
    assert [one.incoming.event.user for one in placed] == _USERS
    assert [one.incoming.event.user for one in placed if one.fault] == [_BROKEN]


def test_incoming__retraction_has_a_place_beside_its_event() -> None:
    """Their ids in the list differ, so neither is taken for a repeat of the other."""
    event = LiveEvent(f"{'0' * 32}/in_app:u1", "t", "info", "", "", {}, 1)
    given = incoming("u1", event, 1).event
    taken = incoming("u1", Retraction(event.notification_id), 1).event
    assert given.list_id != taken.list_id


def _reply(call: ScriptCall) -> Sequence[object]:
    reply: list[object] = []
    for user in call.args[5::3]:
        reply += (
            (b"fault", b"", b"ERR broken") if user == _BROKEN else (b"appended", b"e1.1.abcd 0", [])
        )
    return reply
