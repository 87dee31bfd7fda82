"""Commands as bytes, packed in C for every connection."""

from __future__ import annotations

from typing import Any, Final

import hiredis

_NUMBERS: Final = frozenset({int, float})


# redis-py packs in Python on asyncio connections, where a drain took twice as long:
# docs/decisions/0005-commands-packed-in-c.md
def packed(command: tuple[Any, ...]) -> list[bytes]:
    """Return a command as a connection sends it.

    hiredis 3.5 crashes where a signal handler raises while it makes the text of a number, so it
    is given none.
    """
    texts: Any = command
    if not _NUMBERS.isdisjoint(map(type, command)):
        texts = tuple([part if type(part) not in _NUMBERS else repr(part) for part in command])
    return [hiredis.pack_command(texts)]


def packed_words(*args: Any) -> list[bytes]:
    """Pack what redis-py sends: commands of two words, such as "CONFIG GET", are one argument."""
    name = args[0].split() if isinstance(args[0], str) else args[:1]
    return packed((*name, *args[1:]))


class Packer:
    """Packs for redis-py's synchronous connections as for the others."""

    pack = staticmethod(packed_words)
