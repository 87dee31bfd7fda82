"""Two accepts at once: in every order of their round trips, and with a death at each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Final

import pytest

from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.producer import Producer
from tests.support.servers import Server

#: Whether the second goes next, for as long as both have something to send.
Order = tuple[bool, ...]
_DAY: Final = 86_400_000
_HOUR: Final = 3_600_000
#: What two accepts are rivals by, and what becomes of the one that is not told.
RIVALS: Final = [
    ({"rules__cooldown_ms": _DAY}, {}, {"cooldown"}),
    ({}, {"collapse_key": "score"}, {"cancelled"}),
    ({"rules__cooldown_ms": _DAY}, {"collapse_key": "score"}, {"cooldown", "cancelled"}),
]
rivals = pytest.mark.parametrize(
    ("settings", "fields", "losing"), RIVALS, ids=["cooldown", "collapse", "both"]
)


class Pairs:
    """Pairs of accepts for one user after the other."""

    def __init__(self, deployment: DeploymentFixture, fields: dict[str, Any]) -> None:
        self._deployment = deployment
        self._fields = fields
        self._users = count()

    def make(self, dies_after: int | None = None) -> tuple[Producer, Producer]:
        """Return two rivals that have sent nothing yet; the first may die after a round trip."""
        given: dict[str, Any] = {
            "recipients": [f"u{next(self._users)}"],
            "due_at": self._deployment.now() + _HOUR,
        }
        first = Producer(self._deployment, dies_after, **given, **self._fields)
        return first, Producer(self._deployment, **given, **self._fields)


def go(pair: tuple[Producer, Producer], order: Order, *, repeats_at_once: bool = False) -> Order:
    """Let two accepts go on to their ends, first as *order* says; return the order it was."""
    taken: list[bool] = []
    while any(one.is_busy for one in pair):
        if all(one.is_busy for one in pair):
            taken.append(order[len(taken)] if len(taken) < len(order) else False)
            pair[taken[-1]].step()
        else:
            next(one for one in pair if one.is_busy).step()
        if repeats_at_once and pair[0].is_dead:
            pair[0].repeat()
    return tuple(taken)


def orders(play: Callable[[Order], Order]) -> Iterator[Order]:
    """Play every order there is, each once: what was taken tells which others there are."""
    left: list[Order] = [()]
    while left:
        begun = left.pop()
        taken = play(begun)
        yield taken
        left += [
            (*taken[:place], True) for place in range(len(begun), len(taken)) if not taken[place]
        ]


@rivals
def test_orders__of_two_accepts_tell_the_user_once(
    server: Server, deploy: Deploy, settings: Any, fields: Any, losing: set[str]
) -> None:
    """Whatever the order, one of two rivals waits to be told, and the other says why not."""
    deployment = deploy(server, **settings)
    pairs = Pairs(deployment, fields)

    def play(order: Order) -> Order:
        pair = pairs.make()
        taken = go(pair, order)
        words = [one.word for one in pair]
        assert words.count("pending") == 1, (taken, words)
        assert losing.intersection(words), (taken, words)
        return taken

    seen = list(orders(play))
    assert len(seen) == len(set(seen)) >= 6


@rivals
@pytest.mark.parametrize(
    "at_once", [pytest.param(True, marks=pytest.mark.slow), False], ids=["at_once", "later"]
)
def test_death__of_one_that_is_repeated_tells_the_user_once(
    server: Server, deploy: Deploy, settings: Any, fields: Any, losing: set[str], at_once: bool
) -> None:
    """One dies after any of its round trips, whatever the order, and is repeated."""
    deployment = deploy(server, **settings)
    pairs = Pairs(deployment, fields)

    def play(dies_after: int, order: Order) -> Order:
        pair = pairs.make(dies_after)
        taken = go(pair, order, repeats_at_once=at_once)
        if pair[0].is_dead:
            pair[0].repeat()
            go(pair, ())
        died.append(pair[0].has_died)
        words = [one.word for one in pair]
        assert words.count("pending") == 1, (dies_after, taken, words)
        assert losing.intersection(words), (dies_after, taken, words)
        return taken

    dies_after = 0
    died = [True]
    while any(died):
        died.clear()
        dies_after += 1
        assert list(orders(partial(play, dies_after)))
    assert dies_after > 2
