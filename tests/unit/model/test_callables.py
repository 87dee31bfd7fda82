"""Callables that a program hands over: refused at once where they could never be called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial, wraps
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from galaxy_notify import BackgroundOptions, ConfigurationError
from galaxy_notify.gateway import GatewayConsumer
from galaxy_notify.model.callables import check_callable

NOWHERE = "redis://127.0.0.1:1/0"


async def later(event: object) -> None:
    """Take one event."""


async def later_than(limit: int, event: object, *, loud: bool = False) -> None:
    """Take one event, and what a partial gives."""


async def none() -> None:
    """Take nothing."""


async def asynchronous_pair(fields: object, receipt: object) -> None:
    """Take two values."""


async def stream(event: object) -> AsyncIterator[object]:
    """Yield, where a coroutine is needed."""
    yield event


def plain(event: object) -> None:
    """Take one event."""


def pair(fields: object, receipt: object) -> None:
    """Take two values."""


def generator(fields: object, receipt: object) -> Iterator[object]:
    """Yield, where a plain function is needed."""
    yield fields


def timed(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Wrap a coroutine function as decorators do."""

    @wraps(function)
    def call(*arguments: Any) -> Awaitable[None]:
        return function(*arguments)

    return call


class Later:
    """An object with an asynchronous call, and an asynchronous method."""

    async def __call__(self, event: object) -> None:
        """Take one event."""

    async def handle(self, event: object) -> None:
        """Take one event."""

    @staticmethod
    async def static(event: object) -> None:
        """Take one event."""


class Plain:
    """An object with a plain call."""

    def __call__(self, event: object) -> None:
        """Take one event."""


HANDLERS: dict[str, Any] = {
    "function": later,
    "object": Later(),
    "method": Later().handle,
    "static method": Later.static,
    "partial": partial(later_than, 7),
    "partial with a keyword": partial(later_than, 7, loud=True),
    "partial of an object": partial(Later()),
    "decorated": timed(later),
    "decorated object": timed(Later()),
    "mock": AsyncMock(),
}
NO_HANDLERS: dict[str, tuple[Any, str]] = {
    "plain function": (plain, "plain is not a coroutine function"),
    "lambda": (lambda event: None, "is not a coroutine function"),
    "plain object": (Plain(), "Plain is not a coroutine function"),
    "plain method": (Plain().__call__, "is not a coroutine function"),
    "plain partial": (partial(plain), "is not a coroutine function"),
    "built-in": ([].append, "is not a coroutine function"),
    "plain mock": (MagicMock(), "is not a coroutine function"),
    "class": (Later, "Later is not a coroutine function"),
    "generator": (stream, "is not a coroutine function"),
    "coroutine": (None, "is not callable"),
    "no parameter": (none, r"none does not take \(event\)"),
    "two parameters": (asynchronous_pair, r"does not take \(event\)"),
    "too full a partial": (partial(later_than, 7, None), r"does not take \(event\)"),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_handler__may_be_any_coroutine_function(name: str) -> None:
    """Functions, methods, objects, partials and what decorators make of them are taken."""
    check_callable("handler", HANDLERS[name], ("event",), asynchronous=True)


@pytest.mark.parametrize("name", NO_HANDLERS)
def test_handler__of_the_wrong_sort_is_refused_before_anything_is_sent(name: str) -> None:
    """`run` raises at once, with no server to deliver anything, and says what is needed."""
    handler, reason = NO_HANDLERS[name]
    consumer = GatewayConsumer.from_url(NOWHERE, group="gateway", consumer="gw-1")
    with pytest.raises(ConfigurationError, match=f"^handler: .*{reason}"):
        asyncio.run(consumer.run(handler))


@pytest.mark.parametrize("given", [pair, print, lambda *both: both, partial(pair), MagicMock()])
def test_on_refused__may_be_any_plain_callable(given: Any) -> None:
    """What takes the fields and the receipt is taken, as far as its signature shows."""
    assert BackgroundOptions(on_refused=given).on_refused is given


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (asynchronous_pair, "asynchronous_pair is asynchronous, and nobody would await it"),
        (partial(asynchronous_pair), "is asynchronous"),
        (AsyncMock(), "is asynchronous"),
        (generator, "is a generator function"),
        (plain, r"plain does not take \(fields, receipt\)"),
        (7, "int is not callable"),
        ("print", "str is not callable"),
    ],
)
def test_on_refused__of_the_wrong_sort_is_refused(given: Any, reason: str) -> None:
    """The options are refused, not each call in the thread of the drainer."""
    with pytest.raises(ConfigurationError, match=f"^on_refused: .*{reason}"):
        BackgroundOptions(on_refused=given)
