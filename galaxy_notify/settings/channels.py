"""The sections ``channels.NAME``: the external channels, by which we send to the world ourselves.

What the section of every kind has; what a kind has of its own is in `channel_kinds`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from galaxy_notify.settings.values import (
    DAY_MS,
    YEAR_MS,
    Section,
    number,
)

_LAST_PORT: Final = 65_535
_MOST_PAUSES: Final = 100
_RATE: Final = re.compile(r"([1-9][0-9]{0,6})/(s|min|h)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}


def _pauses(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(value) > _MOST_PAUSES:
        raise ValueError(f"must have {_MOST_PAUSES} entries at most, not {len(value)}")
    if not all(1 <= pause <= YEAR_MS for pause in value):
        raise ValueError(f"must have entries of 1 to {YEAR_MS}")
    return value


def _ports(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value:
        raise ValueError("needs at least one")
    if not all(1 <= port <= _LAST_PORT for port in value):
        raise ValueError(f"must have ports of 1 to {_LAST_PORT}")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("must be an address, or a network such as 10.1.0.0/16") from None
    return value


def _rate(value: str) -> str:
    if value and not _RATE.fullmatch(value):
        raise ValueError("must be N/s, N/min or N/h, such as 100/s")
    return value


Pauses: TypeAlias = Annotated[tuple[int, ...], Field(strict=False), AfterValidator(_pauses)]
Ports: TypeAlias = Annotated[tuple[int, ...], Field(strict=False), AfterValidator(_ports)]
Network: TypeAlias = Annotated[str, AfterValidator(_network)]
Rate: TypeAlias = Annotated[str, AfterValidator(_rate)]


class ChannelSettings(Section):
    """What the external channels of every kind have."""

    kind: str
    max_attempts: int | None = number(
        None,
        (1, 1000),
        "Attempts before a route is dead-lettered, unless the intent sets its own limit; with "
        "schedule_ms never more than its entries and one. Unset: retry.max_attempts.",
    )
    schedule_ms: Pauses = Field(
        (),
        description="Delay before each further attempt, in ms, each up to 20 % more or less; "
        "empty: backoff_min_ms, which doubles up to backoff_max_ms.",
    )
    backoff_min_ms: int | None = number(
        None,
        (1, YEAR_MS),
        "Delay after the first failure, in ms, in place of schedule_ms; unset: "
        "retry.backoff_min_ms.",
    )
    backoff_max_ms: int | None = number(
        None,
        (1, YEAR_MS),
        "Maximum delay between two attempts, in ms, in place of schedule_ms; unset: "
        "retry.backoff_max_ms.",
    )
    timeout_ms: int = number(
        15_000,
        (100, 600_000),
        "Time limit of a whole attempt, the lookup of names included, in ms.",
    )
    lease_ttl_ms: int = number(
        60_000,
        (200, DAY_MS),
        "How long a process holds a route that it sends, in ms; at least twice timeout_ms.",
    )
    concurrency: int = number(32, (1, 1024), "Maximum sends of a process at the same time.")
    per_host: int = number(
        8, (1, 1024), "Maximum sends of a process to one host, where a kind sends to hosts."
    )
    rate: Rate = Field(
        "",
        description="Maximum sends of all processes together, such as 100/s, 60/min or 1000/h; "
        "empty: no limit.",
    )
    delivery: Literal["at_least_once", "at_most_once"] = Field(
        "at_least_once",
        description="at_least_once: a send whose outcome is unknown is repeated with the same id; "
        "at_most_once: its route is dead-lettered instead.",
    )
    delay_ms: int = number(
        0, (0, YEAR_MS), "How long after its due time a notification is sent, in ms."
    )
    unless_read: bool = Field(
        False,
        description="Do not send what its user has read in the feed by then; needs feed.url.",
    )
    max_late_ms: int = number(
        259_200_000,
        (1000, YEAR_MS),
        "How long a route may be late before it is dead-lettered, in ms, where its host or the "
        "feed is away.",
    )

    @property
    def schedule(self) -> tuple[int, ...]:
        """Return the delays before further attempts, in ms; empty where they back off instead."""
        is_backing_off = self.backoff_min_ms is not None or self.backoff_max_ms is not None
        return () if is_backing_off else self.schedule_ms

    @property
    def sends_per_s(self) -> float | None:
        """Return the rate over all processes, in sends a second; None for no limit."""
        match = _RATE.fullmatch(self.rate)
        return int(match[1]) / _SECONDS[match[2]] if match else None
