"""Stopping and going on with a channel, on every shard."""

from __future__ import annotations

from collections.abc import Callable

from galaxy_notify.redis_client.flows import unwrap
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
    made = [call(keys, channel) for keys in deployment.all_keys]
    return calls.words([unwrap(reply) for reply in run_all_sync(deployment.client, made)])
