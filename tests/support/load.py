"""Producers that go on handing in while something breaks, and what they were told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from redis import RedisError

from galaxy_notify.errors import CallFailed
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.redis_state.leases import ClaimLimits
from galaxy_notify.redis_state.publish_call import Published, PublishTerms
from galaxy_notify.redis_state.settlement import Settled, Settlement
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import Settings
from tests.support.wait import wait_until

_PAUSE_S = 0.002


class Load:
    """What was acknowledged: ids by `accept`, members by settle, events by the script."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        #: Ids of which the producer knows nothing: they may be there or not.
        self.unknown: list[str] = []
        self.published: list[str] = []

    def wait_for_more(self, number: int) -> None:
        """Wait until so many more were accepted."""
        wanted = len(self.accepted) + number
        wait_until(lambda: len(self.accepted) >= wanted, f"{number} more are accepted")

    def hand_in(self, notifier: Notifier, name: str, stop: threading.Event) -> None:
        """Accept one notification after the other until told to stop."""
        number = 0
        while not stop.wait(_PAUSE_S):
            number += 1
            intent = {"type": "t", "producer": "p", "recipients": [f"{name}-{number}"]}
            try:
                receipt = notifier.accept(intent)
            except CallFailed as error:
                self.unknown.append(error.notification_id or "")
            else:
                assert receipt.notification_id is not None
                self.accepted.append(receipt.notification_id)


@contextmanager
def load_on(settings: Settings, producers: int = 2) -> Iterator[Load]:
    """Hand in from several threads while the block runs; count what workers publish."""
    load, stop = Load(), threading.Event()
    notifier = Notifier(settings)
    threads = [
        threading.Thread(target=load.hand_in, args=(notifier, f"user{n}", stop))
        for n in range(producers)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "settle", _noting(load))
        _Events(load).install(patch)
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            notifier.close()


def _noting(load: Load):  # type: ignore[no-untyped-def]  # stands in for a method
    settle = Store.settle

    async def noted(
        store: Store, channel: str, token: str, settlement: Settlement, claimed: int = 0
    ) -> Settled:
        members = list(settlement.members)
        settled = await settle(store, channel, token, settlement, claimed)
        for member, answer in zip(members, settled.answers, strict=True):
            if answer.word == "published":
                load.published.append(member.decode())
        return settled

    return noted


class _Events:
    """Notes what the script published, once it is confirmed."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._unconfirmed: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Note the calls of every store."""
        publish, confirm_published = Store.publish, Store.confirm_published

        async def noted(
            store: Store, channel: str, limits: ClaimLimits, terms: PublishTerms
        ) -> Published:
            published = await publish(store, channel, limits, terms)
            if published.routes:
                newest = store._client.xrevrange(store.keys.stream, count=published.routes)
                with suppress(RedisError):
                    latest: Any = await newest
                    self._unconfirmed += [fields[b"event_id"].decode() for _, fields in latest]
            return published

        async def confirmed(store: Store) -> None:
            # What was in the stream before the mark is confirmed with it, whoever published it.
            before, self._unconfirmed = self._unconfirmed, []
            await confirm_published(store)
            self._load.published += before

        patch.setattr(Store, "publish", noted)
        patch.setattr(Store, "confirm_published", confirmed)
