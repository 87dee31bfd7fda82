"""Checks of callables that a program passes in, so that a wrong one is refused at once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Final, get_origin, get_type_hints

from galaxy_notify.errors import ConfigurationError

# The function of asyncio also recognizes mocks of older versions; newer versions deprecate it.
_is_coroutine_function: Final[Callable[[object], bool]] = (
    asyncio.iscoroutinefunction if sys.version_info < (3, 14) else inspect.iscoroutinefunction
)


def check_callable(
    name: str, candidate: object, parameters: Sequence[str], *, asynchronous: bool = False
) -> None:
    """Raise `ConfigurationError` if *candidate* cannot be called with these parameters.

    An *asynchronous* callable is a coroutine function or an object with such a ``__call__``, also
    as a `functools.partial`, a method or behind a decorator that uses `functools.wraps`. Any other
    callable must not be one of these, because its result is not awaited.
    """
    problem = _problem(candidate, parameters, asynchronous=asynchronous)
    if problem:
        raise ConfigurationError(f"{name}: {_name_of(candidate)} {problem}")


def loaded_attribute(name: str, attribute: str) -> object:
    """Return what ``module:attribute`` names.

    Raises `ConfigurationError` that begins with *name*, the setting, whatever the module raises.
    """
    module, _, path = attribute.partition(":")
    try:
        loaded: object = import_module(module)
        for step in path.split("."):
            loaded = getattr(loaded, step)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}"[:200]
        raise ConfigurationError(f'{name}: cannot load "{attribute}": {reason}') from error
    return loaded


def is_asynchronous(function: Callable[..., object]) -> bool:
    """Return whether a call visibly returns a coroutine or an asynchronous generator."""
    return any(
        _is_coroutine_function(form) or inspect.isasyncgenfunction(form)
        for form in _forms(function)
    )


def is_generator(function: Callable[..., object]) -> bool:
    """Return whether a call visibly returns a generator."""
    return any(map(inspect.isgeneratorfunction, _forms(function)))


def takes(function: Callable[..., object], count: int) -> bool:
    """Return whether a callable accepts *count* positional arguments."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a built-in may hide its signature
        return True
    return True


def returned_kind(function: Callable[..., object]) -> type | None:
    """Return the class that a callable is annotated to return; None without annotation."""
    bare = _bare(function)
    plain = bare if inspect.isroutine(bare) else type(bare).__call__
    try:
        annotation = get_type_hints(plain).get("return")
    except Exception:  # an annotation may use an undefined name
        return None
    kind = get_origin(annotation) or annotation
    return kind if isinstance(kind, type) else None


def _problem(candidate: object, parameters: Sequence[str], *, asynchronous: bool) -> str:
    wanted = f"({', '.join(parameters)})"
    if not callable(candidate):
        return "is not callable"
    if asynchronous and not _is_awaited(candidate):
        return f"is not a coroutine function: write async def {wanted}"
    if not asynchronous and is_asynchronous(candidate):
        return f"is asynchronous but would not be awaited: write def {wanted}"
    if not asynchronous and is_generator(candidate):
        return f"is a generator function, so its body would never run: write def {wanted}"
    return "" if takes(candidate, len(parameters)) else f"does not take {wanted}"


def _is_awaited(function: Callable[..., object]) -> bool:
    """Return whether a call returns a coroutine; for a decorator, the wrapped function counts."""
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


def _name_of(candidate: object) -> str:
    return getattr(candidate, "__qualname__", None) or type(candidate).__qualname__
