"""Sends parcels to Redis in one round trip, in small steps beside busy threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.accepting import Flow, Unknown, accept_flow
from galaxy_notify.intake.parcels import id_of, opened
from galaxy_notify.intake.planning import Plan, plan
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.model.intent import Intent
from galaxy_notify.redis_state.client import SyncClient
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.settings import Settings

# A thread that computes keeps the interpreter for 5 ms, and the callers of `enqueue` would wait
# for it so long. After these steps they have their turn.
_STEP_S: Final = 0.000_25
_PAUSE_S: Final = 0.000_001


class Sender:
    """Accepts parcels over a connection of its own; nothing is sent a second time by itself."""

    def __init__(self, settings: Settings, *, adopt: bool) -> None:
        """Prepare to connect as *settings* say."""
        self._client = SyncClient(settings, adopt=adopt, pauses_s=())

    def send(self, parcels: Iterable[bytes]) -> list[Receipt | Unknown]:
        """Return what became of each; raise `RedisFault` where nobody was asked.

        Raises `ConfigurationError` when the deployment is another one than the settings say.
        """
        deployment = (layout := self._client.layout()).deployment
        return self._drive(accept_flow(layout, _plans(parcels, deployment)))

    def look_again(self) -> None:
        """Look the primary up before the next sending."""
        self._client.look_again()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _drive(self, flow: Flow[list[Receipt | Unknown]]) -> list[Receipt | Unknown]:
        replies: Any = None
        while True:
            try:
                calls = flow.send(replies)
            except StopIteration as stop:
                receipts: list[Receipt | Unknown] = stop.value
                return receipts
            replies = self._client.run_all(calls)


def _plans(parcels: Iterable[bytes], deployment: Deployment) -> Iterator[Plan | Receipt]:
    began = time.perf_counter()
    for parcel in parcels:
        yield _plan(parcel, deployment)
        if time.perf_counter() - began > _STEP_S:
            time.sleep(_PAUSE_S)
            began = time.perf_counter()


def _plan(parcel: bytes, deployment: Deployment) -> Plan | Receipt:
    """Plan what a parcel holds, as of the moment when it was handed in."""
    try:
        named, at_ms, traceparent, fields = opened(parcel)
        return plan(Intent.parse(fields), deployment, at_ms, traceparent, named)
    except InvalidIntent as error:
        return refused(error, id_of(parcel))
