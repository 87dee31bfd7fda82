"""What an operator can set: the sections, where their values come from, and how they are shown."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxy_notify.settings.channel_kinds import (
        AppriseChannel,
        EmailChannel,
        LogChannel,
        OwnChannel,
        WebhookChannel,
        WebPushChannel,
    )
    from galaxy_notify.settings.channels import ChannelSettings
    from galaxy_notify.settings.contacts import ContactsSettings
    from galaxy_notify.settings.feed import FeedSettings
    from galaxy_notify.settings.http import HttpSettings
    from galaxy_notify.settings.loading import load_settings, settings_from
    from galaxy_notify.settings.realtime import RealtimeSettings
    from galaxy_notify.settings.redis import RedisSettings
    from galaxy_notify.settings.sample import defaults_toml
    from galaxy_notify.settings.sections import (
        GatewaySettings,
        IntakeSettings,
        LimitsSettings,
        LogSettings,
        RetentionSettings,
        RetrySettings,
        RulesSettings,
        Settings,
    )
    from galaxy_notify.settings.validation import untagged
    from galaxy_notify.settings.values import channel_weights
    from galaxy_notify.settings.worker import WorkerSettings

__all__ = [
    "AppriseChannel",
    "ChannelSettings",
    "ContactsSettings",
    "EmailChannel",
    "FeedSettings",
    "GatewaySettings",
    "HttpSettings",
    "IntakeSettings",
    "LimitsSettings",
    "LogChannel",
    "LogSettings",
    "OwnChannel",
    "RealtimeSettings",
    "RedisSettings",
    "RetentionSettings",
    "RetrySettings",
    "RulesSettings",
    "Settings",
    "WebPushChannel",
    "WebhookChannel",
    "WorkerSettings",
    "channel_weights",
    "defaults_toml",
    "load_settings",
    "settings_from",
    "untagged",
]

# Loaded on first use: building the models of all sections takes longer than the rest of an import.
_HOMES = {
    **dict.fromkeys(__all__, "sections"),
    **dict.fromkeys(
        (
            "AppriseChannel",
            "EmailChannel",
            "LogChannel",
            "OwnChannel",
            "WebPushChannel",
            "WebhookChannel",
        ),
        "channel_kinds",
    ),
    "ChannelSettings": "channels",
    "ContactsSettings": "contacts",
    "FeedSettings": "feed",
    "HttpSettings": "http",
    "RealtimeSettings": "realtime",
    "RedisSettings": "redis",
    "defaults_toml": "sample",
    "load_settings": "loading",
    "settings_from": "loading",
    "untagged": "validation",
    "channel_weights": "values",
    "WorkerSettings": "worker",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
