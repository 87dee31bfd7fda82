"""Validation of the sections ``channels.NAME`` against each other and the other settings."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_notify.settings.broken_rule import BrokenRule
from galaxy_notify.settings.channel_kinds import NEEDED, EmailChannel
from galaxy_notify.settings.channels import ChannelSettings
from galaxy_notify.settings.sections import RetrySettings, Settings

_OF_THE_FEED = "in_app"


def broken_channel_rules(settings: Settings) -> Iterator[BrokenRule]:
    """Find every broken rule that a section ``channels.NAME`` is part of."""
    for name, channel in settings.channels.items():
        section = f"channels.{name}"
        if name == _OF_THE_FEED:
            message = "must not be set for in_app, whose notifications the feed gets"
            yield BrokenRule((f"{section}.kind",), message)
        elif name not in settings.worker.channels:
            known = ", ".join(settings.worker.channels)
            message = f"needs {name} in worker.channels ({known})"
            yield BrokenRule((f"{section}.kind", "worker.channels"), message)
        yield from _delays(section, channel, settings.retry)
        yield from _needs(section, channel)
        if isinstance(channel, EmailChannel):
            yield from _email(section, channel, settings)
        if channel.lease_ttl_ms < 2 * channel.timeout_ms:
            fields = (f"{section}.lease_ttl_ms", f"{section}.timeout_ms")
            least = f"must be at least twice {fields[1]}, {2 * channel.timeout_ms}"
            yield BrokenRule(fields, f"{least}, not {channel.lease_ttl_ms}")


def _needs(section: str, channel: ChannelSettings) -> Iterator[BrokenRule]:
    for name in NEEDED.get(channel.kind, ()):
        if not getattr(channel, name):
            fields = (f"{section}.{name}", f"{section}.kind")
            yield BrokenRule(fields, f"must be set for the kind {channel.kind}")


def _email(section: str, channel: EmailChannel, settings: Settings) -> Iterator[BrokenRule]:
    if channel.password and channel.password.get_secret_value() and not channel.username:
        fields = (f"{section}.username", f"{section}.password")
        yield BrokenRule(fields, f"must be set beside {fields[1]}")
    if channel.public_url and settings.contacts.lookup:
        fields = (f"{section}.public_url", "contacts.lookup")
        yield BrokenRule(fields, "must not be set beside contacts.lookup: nothing is stored there")


def _delays(section: str, channel: ChannelSettings, retry: RetrySettings) -> Iterator[BrokenRule]:
    least, most = f"{section}.backoff_min_ms", f"{section}.backoff_max_ms"
    for name in ("backoff_min_ms", "backoff_max_ms"):
        if getattr(channel, name) is not None and "schedule_ms" in channel.model_fields_set:
            fields = (f"{section}.{name}", f"{section}.schedule_ms")
            yield BrokenRule(fields, f"must not be set beside {fields[1]}")
            return
    lowest = channel.backoff_min_ms or retry.backoff_min_ms
    highest = channel.backoff_max_ms or retry.backoff_max_ms
    if lowest > highest and not channel.schedule:
        message = f"must not exceed {most}, but {lowest} is more than {highest}"
        yield BrokenRule((least, most, "retry.backoff_min_ms", "retry.backoff_max_ms"), message)
