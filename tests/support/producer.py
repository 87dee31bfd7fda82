"""A producer whose accept goes on a round trip at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from galaxy_notify.intake.accept import accept_flow
from galaxy_notify.intake.plan import Plan, plan
from galaxy_notify.model.ids import random_id
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from tests.support.deployment import DeploymentFixture
from tests.support.intents import intent
from tests.support.rules import outcome


class Producer:
    """An accept; it may die after any of its round trips, and be repeated."""

    def __init__(
        self, deployment: DeploymentFixture, dies_after: int | None = None, **fields: Any
    ) -> None:
        """Plan the accept; it never hears the answer to the round trip that it dies after."""
        self._deployment = deployment
        self._dies_after = dies_after
        self._asked: Sequence[ScriptCall | Command] | None = None
        self._made = 0
        self.is_dead = self.has_died = False
        self._now_ms = deployment.now()
        self._intent = intent(**fields)
        self.id = random_id(self._now_ms)
        self._begin(self._plan())

    @property
    def word(self) -> str:
        """Return what became of the first route; empty before it is there."""
        member = f"{self.id}/push:{self._intent.recipients[0]}"
        return outcome(self._deployment.route(member)) if self._deployment.state(member) else ""

    @property
    def is_busy(self) -> bool:
        """Tell whether there is something left to send."""
        return self._asked is not None

    def step(self) -> None:
        """Make the next round trip."""
        assert self._asked is not None
        replies = run_all_sync(self._deployment.client, self._asked)
        self._made += 1
        if self._made == self._dies_after:
            self.is_dead = self.has_died = True
            self._asked = None
        else:
            self._go_on(lambda: self._flow.send(replies))

    def repeat(self) -> None:
        """Begin to hand the same in once more under its id."""
        self.is_dead = False
        self._begin(self._plan()._replace(may_repeat=True))

    def _plan(self) -> Plan:
        return plan(self._intent, self._deployment.connected.shared, self._now_ms, "", self.id)

    def _begin(self, planned: Plan) -> None:
        self._flow = accept_flow(self._deployment.key_space, [planned], preferences_exist=False)
        self._go_on(lambda: next(self._flow))

    def _go_on(self, ask: Callable[[], Sequence[ScriptCall | Command]]) -> None:
        self._asked = None
        with suppress(StopIteration):
            self._asked = ask()
