"""Stopping and going on with a channel, on every shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word


def pause(deployment: Deployment, channel: str) -> bool:
    """Stop claiming a channel; return whether that changed anything. Raises `RedisFault`."""
    return Word.PAUSED in _on_all(deployment, channel, calls.channel_pause)


def resume(deployment: Deployment, channel: str) -> bool:
    """Claim a channel again; return whether that changed anything. Raises `RedisFault`."""
    return Word.RESUMED in _on_all(deployment, channel, calls.channel_resume)


def _on_all(
    deployment: Deployment, channel: str, call: Callable[[Keys, str], ScriptCall]
) -> list[str]:
    replies: list[Any] = run_all_sync(
        deployment.client, [call(keys, channel) for keys in deployment.all_keys]
    )
    for reply in replies:
        if isinstance(reply, RedisFault):
            raise reply
    return calls.words(replies)
