"""Arbitrary bytes, texts and JSON at each door: a valid result or its one error, nothing else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from unicodedata import category

import msgpack
import structlog
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.cli.jsonl import Line, parse
from galaxy_notify.cli.screen import printable
from galaxy_notify.encoding import unpack_payload
from galaxy_notify.errors import ConfigurationError, Corrupt, InvalidIntent
from galaxy_notify.gateway.event import decode_event, decode_payload
from galaxy_notify.intake.plan import plan
from galaxy_notify.model.ids import event_id, parse_target, split_member
from galaxy_notify.model.intent import Intent
from galaxy_notify.model.notification import (
    Notification,
    decode_notification,
)
from galaxy_notify.model.route import Failure, Route, Status, decode_route, initial_state
from galaxy_notify.redis_client.replies import moment, number
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.settings import load_settings
from galaxy_notify.telemetry.logs import configure_logs
from galaxy_notify.telemetry.sanitise import text as log_text
from tests.properties.hostile.corpus import BOMBS
from tests.properties.hostile.planting import DUE_MS, ID, STATE, record
from tests.support.records import encode_notification
from tests.support.telemetry import logging_restored

T = TypeVar("T")
SURROGATES = st.text(st.characters(), max_size=40)
PLAIN_TEXT = st.text(max_size=40)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | SURROGATES
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SURROGATES, inner), max_leaves=12
)
PACKED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | PLAIN_TEXT
    | st.binary(max_size=40)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
    lambda inner: st.lists(inner) | st.dictionaries(PLAIN_TEXT, inner),
    max_leaves=12,
).map(msgpack.packb)
BYTES = st.binary(max_size=200) | PACKED | st.sampled_from(list(BOMBS.values()))


def _asked(kind: type[Exception], ask: Callable[[], T]) -> tuple[T | None, str]:
    """Return what was asked for, or what its one error says."""
    try:
        return ask(), ""
    except kind as error:
        return None, str(error)


@given(BYTES | BYTES.map(lambda raw: b"112345678" + raw))
def test_record__of_any_bytes(raw: bytes) -> None:
    """Any bytes are a record, whose payload can be asked for, or `Corrupt`."""
    with suppress(Corrupt):
        found = decode_notification(ID, raw)
        assert isinstance(found.packed, bytes)
        assert isinstance(found.payload, dict)
        assert isinstance(found.severity + found.title + found.body, str)


@given(BYTES, st.sampled_from([b"", b"1", b"1p", STATE, b"1P" + STATE[2:], b"1d" + STATE[2:]]))
def test_state__of_any_bytes(raw: bytes, head: bytes) -> None:
    """Any bytes are a route, from which every next state can be made and read, or `Corrupt`."""
    with suppress(Corrupt):
        route = decode_route(head + raw)
        for after in _next_states(route):
            assert decode_route(after).generation in (route.generation, route.generation + 1)


def _next_states(route: Route) -> list[bytes]:
    failure = Failure("record_corrupt", "reason")
    return [
        route.failed("w", failure),
        route.dead_lettered("w", failure, attempt=False),
        route.cancelled("me"),
        route.expired("w"),
        route.replayed("me"),
        route.purged("me"),
    ]


@given(BYTES)
def test_payload__of_any_bytes(raw: bytes) -> None:
    """Any bytes are a payload of the contract's fields, or `Corrupt`."""
    for read in (unpack_payload, decode_payload):
        with suppress(Corrupt):
            assert {"notification_id", "type", "producer", "created_at_ms"} <= read(raw).keys()


@given(JSON)
def test_payload__of_any_json(value: Any) -> None:
    """Any JSON document is a payload, or `Corrupt`."""
    with suppress(Corrupt):
        decode_payload(json.dumps({"a": value}).encode())


@given(
    st.dictionaries(
        st.sampled_from([b"event_id", b"user_id", b"event_type", b"payload_bytes", b"trace_id"])
        | st.binary(max_size=10),
        BYTES | st.just(f"{ID}/push:u".encode()),
    )
)
def test_entry__of_any_fields(fields: dict[bytes, bytes]) -> None:
    """Any fields are an event with an id of ours, or `Corrupt`."""
    with suppress(Corrupt):
        event = decode_event(Entry("1-1", fields, 1), "events", 0)
        assert parse_target(event.event_id)
        assert event.user_id
        event.payload  # noqa: B018  # to read it is to unpack it


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_line__of_any_bytes(raw: bytes) -> None:
    """Any line is an intent, or refused with a field and a message fit for a terminal."""
    _, told = _asked(InvalidIntent, lambda: Intent.parse(parse(Line(1, raw))))
    assert told.isprintable()
    assert len(told) < 600


_FIELDS = st.sampled_from([*Intent.model_fields, "unknown"])


@given(st.dictionaries(_FIELDS | SURROGATES, JSON))
def test_intent__of_any_fields(fields: dict[str, Any]) -> None:
    """Any fields beside sound ones are taken, or refused; what is taken can be stored and read."""
    unwrap = {"type": "t", "producer": "p", "recipients": ["u"]}
    planned, told = _asked(
        InvalidIntent,
        lambda: plan(Intent.parse({**unwrap, **fields}), SharedSettings(), DUE_MS, ""),
    )
    assert told.isprintable()
    if planned is None:
        return
    part = next(planned.parts).as_requested()
    found = decode_notification(part.notification_id, part.record)
    assert found.payload.get("data", {}) == dict(planned.intent.data)
    assert unpack_payload(found.packed) == found.payload


@given(SURROGATES | st.from_regex(r"[0-9a-f]{32}(\.\d+)?/push:[ -~]{0,10}(#\d+)?"))
def test_id__of_any_text(name: str) -> None:
    """Any text is an id of ours, and then only printable ASCII, or none."""
    target = parse_target(name)
    if target is not None:
        assert name.strip().isascii()
        assert name.strip().isprintable()


@given(st.binary(max_size=80) | st.from_regex(rb"[0-9a-f]{32}/push:[!-~]{1,10}", fullmatch=True))
def test_member__of_any_bytes(raw: bytes) -> None:
    """Any bytes are a member that is put together again as it was, or none."""
    member = split_member(raw)
    if member is not None:
        assert f"{member.notification_id}/{member.route_id}".encode() == raw
        assert parse_target(event_id(raw.decode(), 2)) is not None


@given(
    st.dictionaries(
        st.sampled_from([name.encode() for name in SharedSettings().as_meta()])
        | st.binary(max_size=9),
        st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode()),
    )
)
def test_meta__of_any_fields(meta: dict[bytes, bytes]) -> None:
    """Any fields are a deployment that can be written down again, or a `ConfigurationError`."""
    found, told = _asked(ConfigurationError, lambda: SharedSettings.from_meta(meta))
    assert told.isprintable()
    if found is None:
        return
    again = {name.encode(): value.encode() for name, value in found.as_meta().items()}
    assert SharedSettings.from_meta(again) == found
    assert 1 <= found.shards <= 1024
    assert found.max_routes > 0


@given(st.dictionaries(st.sampled_from(["REDIS__URL", "REDIS__PREFIX", "WORKER__SHARDS",
    "WORKER__CHANNELS", "REDIS__TLS_CA", "GATEWAY__STREAM"]) | SURROGATES, SURROGATES))  # fmt: skip
def test_settings__of_any_variables(variables: dict[str, str]) -> None:
    """Any variables are settings, or each is told on a line of its own, with no password."""
    environ = {f"GALAXY_NOTIFY_{name}": value for name, value in variables.items()}
    environ["GALAXY_NOTIFY_REDIS__PASSWORD"] = "s3cr3t"
    environ.pop("GALAXY_NOTIFY_CONFIG", None)
    _, told = _asked(ConfigurationError, lambda: load_settings(None, environ=environ))
    assert all(line.isprintable() for line in told.split("\n"))
    assert "s3cr3t" not in told


@given(SURROGATES, st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8, max_size=20))
def test_log__of_any_text(said: str, secret: str) -> None:
    """Any text is one line of JSON in ASCII, and no URL in it shows its password."""
    secret = "".join(c for c in secret if c not in "@/?#&=:") + "s3cr3t"
    told = f"{said} redis://user:{secret}@host/0?password={secret}"
    assert secret not in log_text(told)
    stream = io.StringIO()
    with logging_restored():
        configure_logs("debug", "json", stream)
        structlog.get_logger().info(said, member=said.encode("utf-8", "surrogatepass"), why=told)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.isascii()
    assert written[:-1].isprintable()
    assert secret not in written
    assert isinstance(json.loads(written), dict)


@given(SURROGATES)
def test_terminal__is_steered_by_no_text(said: str) -> None:
    """What is printed for a person has no control character but line ends and tabs.

    Nor has it anything that turns the direction of what follows, or ends a line in another way.
    """
    shown = set(printable(said)) - {"\n", "\t"}
    assert not {category(c) for c in shown} & {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}
    assert not shown & {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


@given(st.binary(max_size=40) | st.none() | st.integers())
def test_number__of_any_value(raw: Any) -> None:
    """Any value is a number of 64 bits."""
    assert -(2**63) <= number(raw) < 2**63


@given(st.floats(allow_nan=False))
def test_moment__of_any_score(score: float) -> None:
    """Any score is a moment, in the order of the scores."""
    assert moment(float("-inf")) <= moment(score) <= moment(float("inf"))


_PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
_TEXTS = st.text(_PRINTABLE, max_size=20)
_COUNT = st.integers(1, 999_999)


@given(
    st.builds(
        Notification,
        st.just(ID),
        st.integers(0, 10**13),
        _TEXTS,
        _TEXTS,
        st.just(record()) | st.binary(max_size=60),
        st.none() | st.integers(1, 10**13),
        st.none() | st.integers(1, 10**13),
        _COUNT,
        _COUNT,
        *(_TEXTS,) * 4,
    )
)
def test_record__is_read_back(kept: Notification) -> None:
    """Every record that can be made is read back as it was."""
    assert decode_notification(ID, encode_notification(kept, b"12345678")) == kept


@given(st.lists(st.sampled_from(range(6)), max_size=30), st.text(max_size=30), st.integers(1, 1000))
def test_state__is_read_back(steps: list[int], said: str, most: int) -> None:
    """However a route goes, its state is read back, small and with a bounded history."""
    state = initial_state(most, DUE_MS)
    for step in steps:
        route = decode_route(state)
        state = [
            route.failed("w", Failure("payload_encoding_failed", said)),
            route.dead_lettered("w", Failure("record_corrupt", said * 100), attempt=True),
            *(route.cancelled("me"), route.expired("w"), route.replayed("me"), route.purged("me")),
        ][step]
    found = decode_route(state)
    assert found.max_attempts == most
    assert len(found.history) <= 20
    assert len(state) < 65_536
    assert found.status in Status
