"""Encrypting all stored contacts with the first key, after a new one was put in front."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.contacts.book import ContactBook, Rekeyed
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_state.contacts import read_users_page, users_page
from galaxy_notify.redis_state.deployment import Deployment


def rekey_all(
    deployment: Deployment, book: ContactBook, progress: Callable[[int], object]
) -> Rekeyed:
    """Encrypt the contacts of every user with the first key; *progress* gets users as they pass.

    A user may be passed twice, which counts twice. Safe to interrupt and to repeat. Raises
    `RedisFault`.
    """
    done = Rekeyed()
    for keys in deployment.all_keys:
        node, cursor = at_shard(deployment.client, keys.tag), ""
        while cursor != "0":
            (reply,) = run_all_sync(node, [users_page(keys, cursor or "0")])
            cursor, users = read_users_page(keys, reply)
            for user in users:
                flow = book.rekey(deployment.key_space, user)
                done = done.plus(run_flow_sync(deployment.client, flow))
            progress(len(users))
    return done
