"""What an operator can set: the sections, where their values come from, and how they are shown."""

from galaxy_notify.settings.http import HttpSettings
from galaxy_notify.settings.intake import IntakeSettings
from galaxy_notify.settings.loading import load_settings, settings_from
from galaxy_notify.settings.rules import untagged
from galaxy_notify.settings.ruling import RulesSettings
from galaxy_notify.settings.sample import defaults_toml
from galaxy_notify.settings.sections import (
    GatewaySettings,
    LimitsSettings,
    LogSettings,
    RedisSettings,
    RetentionSettings,
    RetrySettings,
    Settings,
    WorkerSettings,
)

__all__ = [
    "GatewaySettings",
    "HttpSettings",
    "IntakeSettings",
    "LimitsSettings",
    "LogSettings",
    "RedisSettings",
    "RetentionSettings",
    "RetrySettings",
    "RulesSettings",
    "Settings",
    "WorkerSettings",
    "defaults_toml",
    "load_settings",
    "settings_from",
    "untagged",
]
