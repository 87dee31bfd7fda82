"""The section ``worker``: how routes are claimed and published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from galaxy_notify.settings.values import (
    DAY_MS,
    Channel,
    Channels,
    Section,
    Weights,
    channel_weights,
    number,
)


class WorkerSettings(Section):
    """How routes are claimed and published."""

    shards: int = number(1, (1, 1024), "Number of shards of the state; cannot change once in use.")
    channels: Channels = Field(("push",), description="The channels of this deployment.")
    serves: Annotated[tuple[Channel, ...], Field(strict=False)] = Field(
        (), description="Those of them that this process works on; empty: all."
    )
    slots: int = number(2, (1, 16), "Batches processed at the same time, per shard.")
    batch_size: int = number(128, (1, 256), "Maximum routes claimed in one call.")
    lease_ttl_ms: int = number(
        30_000,
        (100, DAY_MS),
        "How long a worker holds a claimed route, in ms; after a crash, its routes are claimed "
        "again when this time has passed.",
    )
    poll_interval_ms: int = number(
        1000, (10, DAY_MS), "Maximum time between two checks for due routes, in ms."
    )
    max_abandoned: int = number(
        5,
        (2, 1000),
        "A route is dead-lettered after this many workers stopped without settling it.",
    )
    publish: Literal["script", "leased"] = Field(
        "script",
        description="script: one script publishes what needs no encoder of Python, leases are for "
        "the rest; leased: every route is claimed, encoded and settled.",
    )
    weights: Weights = Field(
        (),
        description="NAME=N: while several channels have due routes, the channel gets N batches "
        "for each batch of a channel without a weight.",
    )

    @property
    def served(self) -> tuple[str, ...]:
        """Return the channels that this process works on."""
        return self.serves or self.channels

    @field_validator("serves")
    @classmethod
    def _served_are_channels(cls, serves: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        _check_known(serves, info)
        if len(set(serves)) != len(serves):
            raise ValueError("must not contain a channel twice")
        return serves

    @field_validator("weights")
    @classmethod
    def _weights_of_channels(
        cls, weights: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        _check_known(channel_weights(weights), info)
        return weights


def _check_known(names: Iterable[str], info: ValidationInfo) -> None:
    # An invalid list of channels is reported by itself.
    channels = info.data.get("channels")
    for name in names:
        if channels is not None and name not in channels:
            raise ValueError(f"{name} is not one of worker.channels")
