"""Encoders that a setting names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from types import ModuleType

import pytest

from galaxy_notify.encoding import (
    Encoder,
    JsonEncoder,
    MsgpackEncoder,
    load_encoder,
)
from galaxy_notify.errors import (
    ConfigurationError,
    TransientEncodingError,
)
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status

ID = "0" * 32
NOW = 1_700_000_000_000
ROUTE = Route(Status.PENDING, NOW, NOW)


def minimal() -> Notification:
    return Notification(ID, NOW, "t", "p", b"\x80")


class Upper:
    """An encoder as a class; it is made when it is loaded."""

    def encode(self, notification: Notification, route: Route) -> bytes:
        return notification.producer.upper().encode()


class Needy(Upper):
    """A class that cannot be made without arguments."""

    def __init__(self, argument: str) -> None:
        self.argument = argument


class AsyncCall:
    """An object whose call is asynchronous."""

    async def __call__(self, notification: Notification, route: Route) -> bytes:
        return b""


class AsyncEncode:
    """An encoder whose method is asynchronous."""

    async def encode(self, notification: Notification, route: Route) -> bytes:
        return b""


def plain(notification: Notification, route: Route) -> bytes:
    return f"{notification.producer} {route.attempts}".encode()


async def later(notification: Notification, route: Route) -> bytes:
    return b""


def generator(notification: Notification, route: Route) -> Iterator[bytes]:
    yield b""


def typed_text(notification: Notification, route: Route) -> str:
    return "text"


class TypedText:
    """An encoder whose method says that it returns text."""

    def encode(self, notification: Notification, route: Route) -> str:
        return "text"


def busy(notification: Notification, route: Route) -> bytes:
    raise TransientEncodingError("later")


@pytest.fixture
def encoders() -> Iterator[None]:
    """Provide the module ``some_encoders`` with encoders of every kind."""
    module = ModuleType("some_encoders")
    vars(module).update(
        Upper=Upper,
        Needy=Needy,
        upper=Upper(),
        holder=Upper,
        plain=plain,
        later=later,
        busy=busy,
        async_call=AsyncCall(),
        AsyncEncode=AsyncEncode,
        one_argument=lambda notification: b"",
        number=7,
        text=lambda notification, route: "text",
        array=lambda notification, route: bytearray(b"array"),
        view=lambda notification, route: memoryview(b"v-i-e-w")[::2],
        typed_text=typed_text,
        TypedText=TypedText,
        partial_later=partial(later),
        generator=generator,
        hidden=lambda notification, route: later(notification, route),
        none=lambda notification, route: None,
    )
    sys.modules["some_encoders"] = module
    yield
    del sys.modules["some_encoders"]


@pytest.mark.usefixtures("encoders")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Upper", b"P"),
        ("upper", b"P"),
        ("upper.encode", b"P"),
        ("plain", b"p 0"),
        ("array", b"array"),
        ("view", b"view"),
    ],
)
def test_load__takes_classes_objects_and_functions(name: str, expected: bytes) -> None:
    """Classes, objects with encode and functions will do; what is like bytes becomes bytes."""
    encoder = load_encoder(f"some_encoders:{name}")
    assert isinstance(encoder, Encoder)
    encoded = encoder.encode(minimal(), ROUTE)
    assert type(encoded) is bytes
    assert encoded == expected


def test_load__knows_its_own_by_name() -> None:
    """msgpack and json are names, not modules."""
    assert isinstance(load_encoder("msgpack"), MsgpackEncoder)
    assert isinstance(load_encoder("json"), JsonEncoder)


@pytest.mark.usefixtures("encoders")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "none of msgpack, json, module:attribute"),
        ("protobuf", "none of"),
        ("some_encoders:", "none of"),
        (":plain", "none of"),
        ("no_such_module_here:x", "ModuleNotFoundError"),
        ("some_encoders:missing", "AttributeError"),
        ("some_encoders:Needy", "cannot make"),
        ("some_encoders:number", "no method encode"),
        ("some_encoders:later", "asynchronous"),
        ("some_encoders:async_call", "asynchronous"),
        ("some_encoders:AsyncEncode", "asynchronous"),
        ("some_encoders:partial_later", "asynchronous"),
        ("some_encoders:generator", "is a generator"),
        ("some_encoders:typed_text", "returns str: return bytes"),
        ("some_encoders:TypedText", "returns str: return bytes"),
        ("some_encoders:one_argument", "does not take"),
    ],
)
def test_load__refuses_what_cannot_encode(name: str, reason: str) -> None:
    """A bad encoder is a configuration error that names the setting and the reason."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        load_encoder(name)
    assert str(caught.value).startswith("gateway.encoder: ")


@pytest.mark.usefixtures("encoders")
@pytest.mark.parametrize(("name", "kind"), [("text", "str"), ("none", "None"), ("hidden", "corou")])
def test_custom__result_must_be_bytes(name: str, kind: str) -> None:
    """A result that is not bytes is a permanent failure, also a hidden coroutine."""
    with pytest.raises(TypeError, match=f"returned {kind}"):
        load_encoder(f"some_encoders:{name}").encode(minimal(), ROUTE)


@pytest.mark.usefixtures("encoders")
def test_custom__transient_error_passes_through() -> None:
    """An encoder's wish for another attempt reaches the publisher unchanged."""
    with pytest.raises(TransientEncodingError):
        load_encoder("some_encoders:busy").encode(minimal(), ROUTE)
