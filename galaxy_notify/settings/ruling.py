"""The section of the rules that decide at accept who is told what."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from galaxy_notify.settings.base import Section
from galaxy_notify.settings.values import YEAR_MS, Channel, TypeName, TypeTime


def _once(value: tuple[str, ...]) -> tuple[str, ...]:
    names = [item.partition("=")[0] for item in value]
    if len(set(names)) != len(names):
        raise ValueError("must not name a type twice")
    return value


Types: TypeAlias = Annotated[tuple[TypeName, ...], Field(strict=False), AfterValidator(_once)]
Times: TypeAlias = Annotated[tuple[TypeTime, ...], Field(strict=False), AfterValidator(_once)]


class RulesSettings(Section):
    """What keeps a user from being told too often, beside the user's own preferences."""

    cooldown_ms: int = Field(
        0,
        ge=0,
        le=YEAR_MS,
        description="A user is not told of the same type again so soon, in ms, unless more "
        "severely; 0: no such rest.",
    )
    cooldowns: Times = Field(
        (),
        description="The same for single types as TYPE=MS, as in game.turn.ready=86400000 for "
        "24 hours.",
    )
    mandatory: Types = Field(
        (),
        description="Types that no preference silences or defers; of the cooldowns only their "
        "own holds.",
    )
    quiet_channels: Annotated[tuple[Channel, ...], Field(strict=False)] = Field(
        ("push",), description="Channels that wait for the end of a user's quiet hours."
    )
