"""The settings that a running process can reload."""

from __future__ import annotations

from typing import Final

from galaxy_notify.settings import Settings

RELOADABLE: Final = frozenset(
    {
        "gateway.group_idle_ms",
        "gateway.on_refused",
        "log.format",
        "log.level",
        "retention.dead_max",
        "retention.dead_ms",
        "retry.backoff_max_ms",
        "retry.backoff_min_ms",
        "retry.jitter",
        "worker.max_abandoned",
        "worker.publish",
    }
)


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """Return the names of the changed settings that need a restart, sorted."""
    return sorted(_changed(old, new) - RELOADABLE)


def reloadable(old: Settings, new: Settings) -> Settings:
    """Return *old* with the changes of *new* that need no restart."""
    sections: dict[str, dict[str, object]] = {}
    for name in _changed(old, new) & RELOADABLE:
        section, field = name.split(".")
        update = sections.setdefault(section, {})
        update[field] = getattr(getattr(new, section), field)
    parts = {name: getattr(old, name).model_copy(update=to) for name, to in sections.items()}
    return old.model_copy(update=parts)


def _changed(old: Settings, new: Settings) -> set[str]:
    return {
        f"{section}.{field}"
        for section in type(old).model_fields
        for field in type(getattr(old, section)).model_fields
        if getattr(getattr(old, section), field) != getattr(getattr(new, section), field)
    }
