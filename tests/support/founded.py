"""A deployment that is there before a client that has only a URL connects."""

from __future__ import annotations

from typing import Any

from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.settings import settings_from


def found_deployment(url: str, **worker: Any) -> None:
    """Found a deployment as a daemon does; *worker* are settings of that section."""
    connect(settings_from({"redis": {"url": url}, "worker": worker}), join=True).close()
