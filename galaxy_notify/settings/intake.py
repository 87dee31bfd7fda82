"""The section of the intent stream."""

from __future__ import annotations

from pydantic import Field

from galaxy_notify.settings.base import Section
from galaxy_notify.settings.values import DAY_MS, Group, Intents


class IntakeSettings(Section):
    """The stream through which programs in any language hand intents in."""

    enabled: bool = Field(
        False, description="Read it as a part of run; galaxy-notify intake reads it in any case."
    )
    stream: Intents = Field(
        "gn:intents",
        description="Its key; what cannot be accepted goes to the key that ends in :rejects. In a "
        "cluster it begins with a hash tag, as in {gn-intents}.",
    )
    group: Group = Field("galaxy-notify", description="The consumer group of the readers.")
    batch_size: int = Field(
        200, ge=1, le=1000, description="Most entries to read, and to accept, at a time."
    )
    claim_idle_ms: int = Field(
        10_000,
        ge=100,
        le=DAY_MS,
        description="What a reader left behind is another's after so long, in ms; a living one "
        "keeps what it has in hand.",
    )
    max_deliveries: int = Field(
        5, ge=2, le=1000, description="An entry that was begun so often without an end is rejected."
    )
    max_bytes: int = Field(
        1_048_576, ge=1024, le=33_554_432, description="Bytes of one intent in the stream."
    )
    rejects_max: int = Field(
        10_000, ge=1, le=1_000_000_000, description="About how many rejects are kept."
    )
