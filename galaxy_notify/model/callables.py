"""The callables that a program hands over: refused at once where they could never be called."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, get_origin, get_type_hints

from galaxy_notify.errors import ConfigurationError

# asyncio's own knows the mocks of older versions as well; newer versions warn of it.
_is_coroutine_function: Final[Callable[[object], bool]] = (
    asyncio.iscoroutinefunction if sys.version_info < (3, 14) else inspect.iscoroutinefunction
)


def check_callable(
    name: str, given: object, parameters: Sequence[str], *, asynchronous: bool = False
) -> None:
    """Raise `ConfigurationError` for what cannot be called with these parameters.

    An *asynchronous* callable is a coroutine function or an object with such a ``__call__``, also
    as a `functools.partial`, a method or behind a decorator that uses `functools.wraps`. One that
    is not must be none of these, since nobody would await what it returns.
    """
    trouble = _trouble(given, parameters, asynchronous=asynchronous)
    if trouble:
        raise ConfigurationError(f"{name}: {_named(given)} {trouble}")


def is_asynchronous(function: Callable[..., object]) -> bool:
    """Tell whether a call returns a coroutine or an asynchronous generator, as far as it shows."""
    return any(
        _is_coroutine_function(form) or inspect.isasyncgenfunction(form)
        for form in _forms(function)
    )


def is_generator(function: Callable[..., object]) -> bool:
    """Tell whether a call returns a generator, as far as it shows."""
    return any(map(inspect.isgeneratorfunction, _forms(function)))


def takes(function: Callable[..., object], count: int) -> bool:
    """Tell whether a callable can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a built-in may hide its signature
        return True
    return True


def returned_kind(function: Callable[..., object]) -> type | None:
    """Return the class that a callable's annotation says it returns; None without one."""
    bare = _bare(function)
    plain = bare if inspect.isroutine(bare) else type(bare).__call__
    try:
        found = get_type_hints(plain).get("return")
    except Exception:  # an annotation may name what is not there
        return None
    kind = get_origin(found) or found
    return kind if isinstance(kind, type) else None


def _trouble(given: object, parameters: Sequence[str], *, asynchronous: bool) -> str:
    wanted = f"({', '.join(parameters)})"
    if not callable(given):
        return "is not callable"
    if asynchronous and not _is_awaited(given):
        return f"is not a coroutine function: write async def {wanted}"
    if not asynchronous and is_asynchronous(given):
        return f"is asynchronous but would not be awaited: write def {wanted}"
    if not asynchronous and is_generator(given):
        return f"is a generator function, so its body would never run: write def {wanted}"
    return "" if takes(given, len(parameters)) else f"does not take {wanted}"


def _is_awaited(function: Callable[..., object]) -> bool:
    """Tell whether a call returns a coroutine; a decorator shows it by what it wraps."""
    forms = [*_forms(function), *_forms(inspect.unwrap(_bare(function)))]
    return any(map(_is_coroutine_function, forms))


def _forms(function: Callable[..., object]) -> Iterator[Callable[..., object]]:
    bare = _bare(function)
    yield bare
    if not inspect.isclass(bare):
        yield type(bare).__call__


def _bare(function: Callable[..., object]) -> Callable[..., object]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _named(given: object) -> str:
    return getattr(given, "__qualname__", None) or type(given).__qualname__
