"""Objects that hold connections: each process opens its own."""

from __future__ import annotations

from typing import NoReturn


class NotCopied:
    """Is neither pickled nor copied; says so instead of failing over what it holds."""

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(
            f"a {name} has open connections: create one in each process, do not copy it"
        )
