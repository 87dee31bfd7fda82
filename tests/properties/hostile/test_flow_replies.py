"""Replies of any shape within a flow of a producer: an answer, or one of our own errors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

import pytest

from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.intake.accept import accept_flow
from galaxy_notify.intake.change import cancel_flow, reschedule_flow
from galaxy_notify.intake.plan import plan
from galaxy_notify.model.ids import Target
from galaxy_notify.redis_client.flows import Flow, Send
from galaxy_notify.redis_client.replies import _KINDS
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state.preferences import UserChange, change_flow, get_flow
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import intent
from tests.support.rules import prefer
from tests.support.servers import Server

DAY: Final = 86_400_000
_STATE: Final = b"1p" + b"0" * 26
_GARBLED: Final[Sequence[Any]] = (
    *(None, 0, 7, b"", b"x", b"a b c d", 1.5, [], [None], [0], [7, 7], [b""], [[]], [[b"x"]], {}),
    *([b"x"] * size for size in range(1, 6)),
    *(
        [7] * 4,
        [[b"x"], [b"x"]],
        {b"a": b"b"},
        {1: 2},
        [{}],
        [{}, {}],
        [b"\xff"] * 2,
        [b"\xff"] * 3,
    ),
    *([b"accepted", b"x"], [b"0", []], [b"0", [b"u", []]], [b"0", [b"u", 7]], [b"", _STATE, b"1p"]),
    *([7, _STATE, _STATE], [None, 7, _STATE], [None, [], {}], [None, None, None, 7]),
)


class _Flows:
    """Makes flows, none of which finds what another one has done."""

    def __init__(self, deployment: DeploymentFixture, **fields: Any) -> None:
        self._deployment = deployment
        self._fields = fields
        self._number = count()

    def accept(self) -> Flow[Any]:
        return self._accept()[1]

    def cancel(self) -> Flow[Any]:
        return cancel_flow(self._deployment.key_space, self._accepted(), "me")

    def reschedule(self) -> Flow[Any]:
        now = self._deployment.now()
        return reschedule_flow(
            self._deployment.key_space, self._accepted(), now + 2 * DAY, now, "me"
        )

    def get(self) -> Flow[Any]:
        return get_flow(self._deployment.key_space, "a")

    def change(self) -> Flow[Any]:
        user = f"new-{next(self._number)}"
        return change_flow(self._deployment.key_space, [UserChange(user, {"quiet": b"x"})])

    def _accept(self) -> tuple[str, Flow[Any]]:
        deployment = self._deployment
        fields = {**self._fields, "idempotency_key": f"{next(self._number)}"}
        planned = plan(intent(**fields), deployment.connected.shared, deployment.now(), "")
        flow = accept_flow(deployment.key_space, [planned], preferences_exist=False)
        return planned.notification_id, flow

    def _accepted(self) -> Target:
        notification_id, flow = self._accept()
        _drive(self._deployment, flow, 0, None)
        return Target(notification_id, None)


def _drive(deployment: DeploymentFixture, flow: Flow[Any], at: int, garbled: Any) -> bool:
    """Run a flow with its reply number *at*, from 1, replaced; return whether there was one."""
    place = 0
    sent: list[ScriptCall | Command] = []
    request = next(flow)
    try:
        while True:
            if isinstance(request, Send):
                sent.append(request.call)
                request = next(flow)
                continue
            calls, sent = [*sent, *request], []
            replies = run_all_sync(deployment.client, calls)
            if place < at <= place + len(calls) and _passes(calls[at - place - 1], garbled):
                replies[at - place - 1] = garbled
            place += len(calls)
            request = flow.send(replies)
    except StopIteration:
        return place >= at


def _passes(call: ScriptCall | Command, garbled: Any) -> bool:
    """Return whether the connection takes this for an answer to a call."""
    # Of TIME it makes two numbers, or an error.
    kinds = (
        () if isinstance(call, ScriptCall) or call.command[0] == "TIME" else _KINDS[call.command[0]]
    )
    return isinstance(call, ScriptCall) or type(garbled) in kinds


@pytest.mark.parametrize("cooldowns", [[], [f"chat={DAY}"]])
@pytest.mark.parametrize("name", ["accept", "cancel", "reschedule", "get", "change"])
def test_flow__survives_a_reply_of_any_shape(
    name: str, cooldowns: list[str], server: Server, deploy: Deploy
) -> None:
    """Whatever stands in the place of whichever reply, nothing but an error of ours comes out."""
    deployment = deploy(server, limits__max_routes=2, rules__cooldowns=cooldowns)
    prefer(deployment, "a", every={"min_severity": "warning"})
    users = ["a", "b", "c"]
    flows = _Flows(
        deployment, recipients=users, type="chat", collapse_key="k", due_at=deployment.now() + DAY
    )
    _drive(deployment, flows.accept(), 0, None)
    for at in count(1):
        there = False
        for garbled in _GARBLED:
            try:
                there |= _drive(deployment, getattr(flows, name)(), at, garbled)
            except GalaxyNotifyError:
                there = True
        if not there:
            assert at > 1
            return
