"""The order in which the slots of a shard look at its channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle


class ChannelTurns:
    """Gives each channel its share of the batches, by weight.

    A cycle has as many passes as the weights sum up to. In each of its passes a channel comes
    first; the others follow, the heaviest first. The first channel with due routes gets the batch,
    so a channel that is empty, paused or held gives its turn away and saves nothing up.
    """

    def __init__(self, channels: Sequence[str], weights: Mapping[str, int]) -> None:
        """Prepare; a channel without a weight has 1."""
        weighed = {channel: weights.get(channel, 1) for channel in channels}
        self._orders = cycle([_behind(first, channels, weighed) for first in _spread(weighed)])

    def next_order(self) -> tuple[str, ...]:
        """Return the channels in the order of the next pass."""
        return next(self._orders, ())


def _spread(weights: Mapping[str, int]) -> list[str]:
    """Return each channel as often as its weight says, evenly spread."""
    total = sum(weights.values())
    credit = dict.fromkeys(weights, 0)
    turns: list[str] = []
    for _ in range(total):
        for channel, weight in weights.items():
            credit[channel] += weight
        chosen = max(credit, key=credit.__getitem__)
        credit[chosen] -= total
        turns.append(chosen)
    return turns


def _behind(first: str, channels: Sequence[str], weights: Mapping[str, int]) -> tuple[str, ...]:
    """Return *first*, and then the channels behind it in a circle, the heaviest of them first."""
    start = channels.index(first) + 1
    others = [channel for channel in (*channels[start:], *channels[:start]) if channel != first]
    return (first, *sorted(others, key=weights.__getitem__, reverse=True))
