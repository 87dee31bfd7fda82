"""What instances are told of their users, each through its inbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.live.parts import PartLimits, cut
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.inbox import Telling, tell
from galaxy_notify.redis_state.recent import presence_end
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger

#: What one entry holds. A reader asks for entries by number, so their size bounds its answer.
ENTRY_LIMITS: Final = PartLimits(128, 1 << 16)
#: Commands of one round trip that take instances out of presence.
_ENDED_AT_ONCE: Final = 250


class InboxEntry(NamedTuple):
    """An entry to write into the inbox of an instance, and the users whom it is about."""

    instance: str
    users: Sequence[str]
    command: Command


async def tell_instances(
    client: redis.asyncio.Redis, key_space: KeySpace, tellings: Mapping[str, Sequence[Telling]]
) -> None:
    """Tell each instance of its users' events; never fails.

    An instance that could not be told finds the events by itself, within ten seconds. One without
    an inbox is gone: it is taken out of the presence of these users, so that nobody else tries.
    """
    entries = [
        InboxEntry(name, [one.user for one in part], tell(key_space.prefix, name, part))
        for name, some in tellings.items()
        for part in cut(some, ENTRY_LIMITS, lambda telling: len(telling.packed))
    ]
    await send_entries(client, key_space, entries)


async def send_entries(
    client: redis.asyncio.Redis, key_space: KeySpace, entries: Sequence[InboxEntry]
) -> None:
    """Write entries whose loss costs time only; never fails, as `tell_instances`."""
    answers = await write_inboxes(client, key_space, entries)
    reasons = [answer.fault.reason for _, answer in answers if isinstance(answer, RedisFault)]
    if reasons:
        log = get_logger("realtime")
        log.info("inboxes not written", entries=len(reasons), reason=reasons[0])


async def write_inboxes(
    client: redis.asyncio.Redis, key_space: KeySpace, entries: Sequence[InboxEntry]
) -> list[tuple[InboxEntry, object]]:
    """Return what Redis answered to each entry: an id, nothing without an inbox, or its fault.

    An instance without an inbox is gone: it is taken out of the presence of these users.
    """
    answers = await _write(client, entries)
    if moved := [entry for entry, answer in answers if _has_moved(answer)]:
        # Nothing else of a batch may have to do with the node of an inbox.
        await refresh_primary(client)
        rest = [one for one in answers if not _has_moved(one[1])]
        answers = rest + await _write(client, moved)
    await _end_presence(client, key_space, [entry for entry, answer in answers if answer is None])
    return answers


async def _write(
    client: redis.asyncio.Redis, entries: Sequence[InboxEntry]
) -> list[tuple[InboxEntry, object]]:
    calls = [entry.command for entry in entries]
    try:
        answers = await run_all(client, calls) if calls else []
    except RedisFault as error:
        answers = [error] * len(calls)
    return list(zip(entries, answers, strict=True))


def _has_moved(answer: object) -> bool:
    return isinstance(answer, RedisFault) and answer.fault.remedy is Remedy.RESOLVE


async def _end_presence(
    client: redis.asyncio.Redis, key_space: KeySpace, gone: Iterable[InboxEntry]
) -> None:
    ended = {(entry.instance, user): None for entry in gone for user in entry.users}
    calls = [presence_end(key_space.keys_of_user(user), name, user) for name, user in ended]
    # What stays is tried again with the next event of the user, or lapses.
    with suppress(RedisFault):
        for at in range(0, len(calls), _ENDED_AT_ONCE):
            await run_all(client, calls[at : at + _ENDED_AT_ONCE])
