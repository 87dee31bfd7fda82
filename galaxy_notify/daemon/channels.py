"""The external channels as a part of the daemon: what they need, and the end of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import redis.asyncio

from galaxy_notify.channels.kinds import open_kind
from galaxy_notify.channels.part import ChannelsPart
from galaxy_notify.daemon.shard import Shard
from galaxy_notify.publishing.state import PublisherState
from galaxy_notify.redis_client.shared_rounds import SharedRounds
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.feed_store.store import FeedStore


def channels_part(
    client: redis.asyncio.Redis,
    publisher: PublisherState,
    key_space: KeySpace,
    shards: Sequence[Shard],
    feed: FeedStore | None,
) -> ChannelsPart:
    """Return what works the external channels of a daemon, in the running event loop.

    *feed* is needed where a channel has ``unless_read``. Raises `ConfigurationError` where a kind
    cannot be used.
    """
    settings, rounds = publisher.settings, SharedRounds(client)
    names = settings.external_channels
    kinds = {name: open_kind(name, settings, client, key_space) for name in names}
    contacts = has_read = None
    if any(kind.has_contacts for kind in kinds.values()):
        from galaxy_notify.contacts.contacts import Contacts

        contacts = Contacts(client, key_space, settings, rounds.replies)
    if any(settings.channels[name].unless_read for name in kinds):
        from galaxy_notify.daemon.read_check import ReadCheck

        assert feed is not None, "the start has checked feed.url"
        has_read = ReadCheck(client, key_space, feed)
    found = []
    for shard in shards:
        shared = rounds if shard.client is client else SharedRounds(shard.client)
        found.append((shard.state, shard.store.with_rounds(shared.replies)))
    return ChannelsPart(publisher, found, kinds, contacts, has_read)
