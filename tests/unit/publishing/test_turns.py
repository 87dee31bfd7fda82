"""The turns of channels: shares by weight, and nothing saved up."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.publishing.turns import ChannelTurns

CHANNELS = ("push", "bulk", "mail")


def test_turns__without_weights_go_round() -> None:
    """Each channel comes first in turn, and the others follow in their order."""
    turns = ChannelTurns(CHANNELS, {})
    assert [turns.next_order() for _ in range(4)] == [
        ("push", "bulk", "mail"),
        ("bulk", "mail", "push"),
        ("mail", "push", "bulk"),
        ("push", "bulk", "mail"),
    ]


def test_turns__of_no_channels_are_empty() -> None:
    """A process that publishes nothing itself has nothing to look at."""
    turns = ChannelTurns((), {})
    assert [turns.next_order() for _ in range(2)] == [(), ()]


def test_turns__spread_the_heavier_channel() -> None:
    """Four of five batches are those of the heavier channel, and the fifth comes between them."""
    turns = ChannelTurns(("push", "bulk"), {"push": 4})
    assert [turns.next_order()[0] for _ in range(5)] == ["push", "push", "bulk", "push", "push"]


def test_turns__go_to_the_heaviest_of_the_others() -> None:
    """A channel without due routes gives its turn to the heaviest of the others."""
    turns = ChannelTurns(CHANNELS, {"mail": 3})
    orders = [turns.next_order() for _ in range(5)]
    assert {order[0]: order[1] for order in orders} == {
        "push": "mail",
        "bulk": "mail",
        "mail": "push",
    }


WEIGHTS = st.dictionaries(st.sampled_from(CHANNELS), st.integers(1, 12))


@given(WEIGHTS)
def test_turns__give_each_channel_its_share(weights: dict[str, int]) -> None:
    """In a cycle each channel comes first as often as its weight says, and is never left out."""
    turns = ChannelTurns(CHANNELS, weights)
    total = sum(weights.get(channel, 1) for channel in CHANNELS)
    orders = [turns.next_order() for _ in range(2 * total)]
    firsts = [order[0] for order in orders]
    assert Counter(firsts) == {channel: 2 * weights.get(channel, 1) for channel in CHANNELS}
    assert all(sorted(order) == sorted(CHANNELS) for order in orders)
    for channel in CHANNELS:
        places = [place for place, first in enumerate(firsts) if first == channel]
        share = total / weights.get(channel, 1)
        assert all(later - earlier <= 2 * share for earlier, later in pairwise(places))
