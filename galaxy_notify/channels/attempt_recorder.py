"""Records attempts beside the sends, many in one round trip; no send waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.faults import Garbled, RedisFault, fault_of
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_state.attempts import (
    MOST_RECORDED,
    WORN_MS,
    EndpointAttempt,
    Recorded,
    RecordedAttempt,
    attempt_record,
    read_recorded,
)
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

#: Attempts of this time are recorded together.
_TOGETHER_S: Final = 0.1
#: Attempts that wait to be recorded: with the longest responses, 4 MiB.
_MOST_WAITING: Final = 1024
#: Endpoints that are remembered because they only fail.
_MOST_WORN: Final = 4096


class Page(NamedTuple):
    """What one call records, on one shard."""

    keys: Keys
    items: Sequence[RecordedAttempt]


class AttemptRecorder:
    """Records the attempts of a channel, in one event loop; `close` it at the end.

    What Redis does not take at once is lost: it is logged, and costs nothing else.
    """

    def __init__(self, channel: str, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self._client = client
        self._key_space = key_space
        self._outage = EdgeLog(
            get_logger("channels", channel=channel),
            "attempts not recorded",
            "attempts recorded again",
        )
        self._waiting: list[RecordedAttempt] = []
        self._worn: set[tuple[str, str]] = set()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, user: str, endpoint: str, attempt: EndpointAttempt) -> None:
        """Have an attempt recorded; *endpoint* is ``<channel>/<id of the contact>``."""
        if attempt.outcome == "delivered":
            self._worn.discard((user, endpoint))
        if len(self._waiting) >= _MOST_WAITING:
            self._outage.down("full", "too many attempts wait to be recorded")
            return
        self._waiting.append(RecordedAttempt(user, endpoint, attempt))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    def seemed_worn(self, user: str, endpoint: str) -> bool:
        """Return whether the endpoint had only failed for `WORN_MS` when it was recorded last.

        Another process may have reached it since.
        """
        return (user, endpoint) in self._worn

    async def close(self) -> None:
        """Record what waits."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOGETHER_S):
                    await self._closing.wait()
            items, self._waiting = self._waiting, []
            await self._record(items)

    async def _record(self, items: Sequence[RecordedAttempt]) -> None:
        pages = list(self._pages(items))
        try:
            calls = [attempt_record(*page) for page in pages]
            replies = await run_all(self._client, calls)
            found = [_read(*each) for each in zip(pages, replies, strict=True)]
        except (RedisFault, Garbled) as error:
            fault = fault_of(error).fault
            self._outage.down(fault.code, fault.reason)
            return
        answers = [answer for each in found for answer in each]
        recorded = [item for page in pages for item in page.items]
        for item, answer in zip(recorded, answers, strict=True):
            self._note(item, answer)
        refused = next((answer.reason for answer in answers if answer.reason), "")
        if refused:
            self._outage.down("refused", refused)
        else:
            self._outage.up()

    def _pages(self, items: Sequence[RecordedAttempt]) -> Iterator[Page]:
        shards: dict[Keys, list[RecordedAttempt]] = {}
        for item in items:
            shards.setdefault(self._key_space.keys_of_user(item.user), []).append(item)
        for keys, found in shards.items():
            for begin in range(0, len(found), MOST_RECORDED):
                yield Page(keys, found[begin : begin + MOST_RECORDED])

    def _note(self, item: RecordedAttempt, answer: Recorded) -> None:
        place, since = (item.user, item.endpoint), answer.failing_since_ms
        if since is None or item.attempt.at_ms - since < WORN_MS:
            self._worn.discard(place)
        elif len(self._worn) < _MOST_WORN:
            self._worn.add(place)


def _read(page: Page, reply: object) -> list[Recorded]:
    if isinstance(reply, RedisFault):
        raise reply
    return read_recorded(reply, len(page.items))
