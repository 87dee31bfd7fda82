"""Text that differs from one notification to the next, as the text of people does."""

from __future__ import annotations

from functools import cache
from itertools import cycle
from random import Random

_TEXT = (
    "your turn in the match of the week is open until midnight two fleets wait at the north gate"
    " and a message from ada says the alliance will hold the bridge while grace brings new ships"
    " please answer soon or the captain decides for you thirty points forty credits one old map"
)
_WORDS = _TEXT.split()
_VARIETY = 256


@cache
def texts(size: int) -> tuple[str, ...]:
    """Return different texts of exactly so many bytes."""
    random = Random(size)
    return tuple(_text(random, size) for _ in range(_VARIETY))


def _text(random: Random, size: int) -> str:
    words: list[str] = []
    length = 0
    for word in cycle(_WORDS):
        if length > size:
            break
        chosen = f"{random.choice(_WORDS)}{random.randrange(1000)} {word}"
        words.append(chosen)
        length += len(chosen) + 1
    return " ".join(words)[:size]
