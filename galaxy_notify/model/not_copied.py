"""Objects that hold connections: each process opens its own."""

from __future__ import annotations

from typing import NoReturn


class NotCopied:
    """A class whose objects cannot be pickled or copied; the error says why."""

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"a {name} has open connections: create one in each process, do not copy it"
        )
