"""Every error and value that the package exports goes through pickle and copy, and is compared."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import pytest
from pydantic import BaseModel

import galaxy_notify
from galaxy_notify import edges, errors, feed, gateway, inspector, realtime, settings, webhooks
from galaxy_notify.background.options import BackgroundOptions
from galaxy_notify.background.stats import Closed, Stats
from galaxy_notify.channels import TransientDeliveryError
from galaxy_notify.errors import InvalidIntent, Misconfigured, ServerRefused, Unavailable
from galaxy_notify.intake import receipts, unknown
from galaxy_notify.model.intent import Intent
from galaxy_notify.model.json_data import UnfitData
from galaxy_notify.model.preference import Preference
from galaxy_notify.model.quiet import Quiet
from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.web.problems import Problem
from galaxy_notify.web.signed_tokens import InvalidToken
from tests.support.settings import NEEDED

RECEIPT = receipts.Receipt("a" * 32, "accepted", 2, 1)
REFUSED = receipts.refused(InvalidIntent("type", "must match"))
INTENT = {"type": "t", "producer": "p", "recipients": ["u1"], "data": {"turn": [1, {"a": None}]}}
LINE = inspector.HistoryLine(1, "retried", "w", 1, "payload_encoding_failed", "no", "")
FAILURE = inspector.Failure("payload_encoding_failed", "no", 1)
LEASE = inspector.Lease("w", 1, 0)
ROUTE = inspector.Route("push:u1", "failed", 1, 1, 8, 1, LEASE, FAILURE, "", "why", (LINE,))
LISTED = inspector.ListedNotification(
    *("a" * 32, "t", "p", "info", 1, 1, 1, None, 1, 1, False, 1, "failed", {"failed": 1})
)
DEAD = inspector.DeadLetter("a/push:u1", "push", "u1", "t", "p", "record_corrupt", "", 1, 1, 1, "w")
CHANNEL = inspector.ChannelStatus(1, 1, 0, 0.0, 0, 0, paused=False, paused_s=None, paused_shards=0)
GROUP = inspector.GroupStatus(None, 1, 0.5, 0, 7)
STREAM = inspector.StreamStatus(1, 10, holding=False, groups={"g": GROUP}, held_s=None)
WORKER = inspector.Worker("w", "host", 1, "0.1.0", 1, 2, "working")
GATEWAY = inspector.Gateway("gw", 2, 1, 0, "host", 1, "0.1.0", 1, 2)
WRITER = inspector.FeedWriter("w", 1)
FEED = inspector.FeedStatus(1, 2, 3, 0.5, (WRITER,))
SERVER = inspector.Server("redis", "7.0.15")
REDIS = inspector.RedisStatus("taken", None, 5)
MEMORY = inspector.MemoryStatus(1, None, 3, 4, 5)
COUNTS = feed.Counts(1, 2, 3, 4)
ITEM = feed.FeedItem(
    *(1, "a" * 32, "t", "p", "info", "", "", {"turn": [1]}, 1, 2, None, None, None, ("push",))
)
KINDS: dict[str, dict[str, Any]] = {"log": {}, "webhook": {}, **NEEDED, "a:b": {}}
SETTINGS = settings.settings_from(
    {
        "redis": {"password": "secret"},
        "worker": {"channels": ["push", *(f"c{place}" for place in range(len(KINDS)))]},
        "channels": {
            f"c{place}": {"kind": kind, **fields}
            for place, (kind, fields) in enumerate(KINDS.items())
        },
    }
)
ERRORS: list[BaseException] = [
    *(made("type", "must match", "conflict") for made in (errors.Invalid, errors.InvalidIntent)),
    *(made("user", "unknown") for made in (errors.InvalidPreference, errors.InvalidQuery)),
    errors.InvalidPush("data", "too long", "too_large"),
    errors.InvalidContact("[0].address", "must be text"),
    errors.InvalidEdge("clear", "must not be greater than at"),
    errors.InvalidPublication("title", "must be text"),
    *(errors.FeedRefused("", "too long"), errors.InvalidEndpoint("url", "must be https")),
    errors.InvalidSignature("secret: must not be empty"),
    *(made("why") for made in (errors.Portable, errors.GalaxyNotifyError, errors.Corrupt)),
    *(made("why") for made in (errors.ConfigurationError, errors.TransientEncodingError)),
    *(made("why") for made in (errors.AlreadyClosed, errors.StreamRefused)),
    *(errors.OtherEventLoop("why"), errors.StreamClosed("slow")),
    TransientDeliveryError("busy", retry_after_ms=1500),
    errors.SourceFailed("why", [RECEIPT]),
    *(made("why", code="timeout") for made in (errors.CallFailed, errors.FeedUnavailable)),
    Unavailable("away", "b" * 32, [RECEIPT, None], code="timeout"),
    ServerRefused("full", receipts=[RECEIPT, None], code="OOM", not_written=[1]),
    Misconfigured("no right", "b" * 32, code="NOPERM"),
    RedisFault(Fault("OOM", Remedy.RETRY, "full", "127.0.0.1:1", "ann"), outcome_unknown=True),
    Problem("invalid", "type: wrong", [{"field": "type"}], {"A": "b"}, {"x": 1}),
    UnfitData("too deep", "a", ".b"),
    InvalidToken("invalid token: it has expired"),
]
VALUES: list[Any] = [
    Intent.parse(INTENT),
    RECEIPT,
    REFUSED,
    REFUSED.error,
    unknown.Unknown("OOM", refused=True),
    receipts.Cancelled(1, 2),
    receipts.Rescheduled(1, 2),
    gateway.Event("e", "u1", "t", b"{}", "", "", "", "s", "1-1", 0, 1),
    gateway.ConsumerOptions(concurrency=2),
    realtime.StreamEvent("status", "e.1.abcd", '{"live":true}', b"event: status"),
    *(
        LINE,
        FAILURE,
        LEASE,
        ROUTE,
        LISTED,
        DEAD,
        CHANNEL,
        GROUP,
        STREAM,
        WORKER,
        GATEWAY,
        WRITER,
        FEED,
        SERVER,
        REDIS,
        MEMORY,
    ),
    inspector.ShownNotification(
        *("a" * 32, "t", "p", "info", 1, 1, None, "", "", 1, None, 1, (ROUTE,), {"type": "t"})
    ),
    inspector.NotificationPage((LISTED,), "next"),
    inspector.DeadLetterPage((DEAD,), None),
    inspector.Status(
        *(1, SERVER, 1, {"push": CHANNEL}, {"accepted": 1}, {"s": STREAM}, (WORKER,), REDIS),
        MEMORY,
        (GATEWAY,),
        FEED,
    ),
    feed.Publication(user="u1", type="t", producer="p", data={"turn": [1, {"a": None}]}),
    feed.FeedReceipt("a" * 32, "refused", REFUSED.error),
    COUNTS,
    ITEM,
    feed.Page((ITEM,), "next", COUNTS),
    feed.Retracted(["u1"], {"u1": COUNTS}, found=True),
    BackgroundOptions(capacity=5, on_refused=print),
    Stats(enqueued=3, queued=3, dropped={"full": 0}),
    Closed(Stats(enqueued=1, queued=1)),
    Preference(("push",), "info"),
    Quiet(60, 120, "Europe/Berlin"),
    UserPreferences(Preference(None, "info"), {"t": Preference(())}, quiet=Quiet(1, 2, "UTC")),
    ListFilter(states=("open",), user="u1"),
    Fault("OOM", Remedy.RETRY, "full"),
    SETTINGS,
    *(section for _, section in SETTINGS.sections()),
    settings.ChannelSettings(kind="log"),
]
NOT_COPIED = (
    *("AsyncEdgeTrigger", "AsyncFeed", "AsyncInspector", "AsyncNotifier", "BackgroundNotifier"),
    *("EdgeTrigger", "Feed", "GatewayConsumer", "Inspector", "Notifier", "Presence", "Streams"),
)
#: Values of a process only: what they stand for ends with it.
HELD = ("Registration", "UserStream")
#: Modules whose values a program gets, or makes.
PUBLIC = (
    *("intake.receipts", "intake.tally", "intake.background_options"),
    *("gateway.event", "gateway.options", "operations.documents"),
    *("model.intent", "model.user_preferences", "operations.list_filter"),
)
WAYS: list[Callable[[Any], Any]] = [
    *(partial(lambda level, x: pickle.loads(pickle.dumps(x, level)), n) for n in (2, 4, 5)),
    copy.copy,
    copy.deepcopy,
]


def exported() -> Iterator[type]:
    """Yield every class that ``__all__`` names, lazily loaded ones too, and every error class."""
    for package in (galaxy_notify, edges, feed, gateway, realtime, settings, webhooks):
        found = (getattr(package, name) for name in package.__all__)
        yield from (one for one in found if isinstance(one, type))
    for module in pkgutil.walk_packages(galaxy_notify.__path__, "galaxy_notify."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        own = [x for x in vars(loaded).values() if isinstance(x, type)]
        own = [one for one in own if one.__module__ == module.name]
        yield from (one for one in own if issubclass(one, errors.Portable))
        if module.name.removeprefix("galaxy_notify.") in PUBLIC:
            yield from (one for one in own if is_value(one))


def is_value(kind: type) -> bool:
    """Tell whether instances are values: records of fields."""
    return (
        dataclasses.is_dataclass(kind)
        or hasattr(kind, "_fields")
        or (issubclass(kind, BaseModel) and kind is not BaseModel)
    )


def test_exported__each_class_has_a_sample() -> None:
    """A class without one is not tried below: give it a sample, or say that it is not copied."""
    tried = {type(sample) for sample in [*ERRORS, *VALUES]}
    missing = {kind.__name__ for kind in exported() if kind not in tried}
    assert missing == {*NOT_COPIED, *HELD}


@pytest.mark.parametrize("sample", [*ERRORS, *VALUES], ids=lambda one: type(one).__name__)
def test_exported__comes_back_as_it_was(sample: Any) -> None:
    """Class, fields, text, equality and hash are the same; another one is not equal."""
    for way in WAYS:
        back = way(sample)
        assert type(back) is type(sample)
        assert back == sample
        assert (repr(back), str(back)) == (repr(sample), str(sample))
        assert vars(back) == vars(sample) if hasattr(sample, "__dict__") else True
    assert sample != object()
    assert type(sample).__name__ in repr(sample)


def test_errors__differ_where_they_say_something_else() -> None:
    """Class, text and fields count."""
    first = InvalidIntent("type", "must match")
    same, other = (
        InvalidIntent("type", "must match"),
        InvalidIntent("type", "must match", "conflict"),
    )
    assert {first, same} == {first}
    assert first != other
    assert Unavailable("away") != ServerRefused("away")
    assert Unavailable("away", "a") != Unavailable("away", "b")


def fail(error: BaseException) -> None:
    """Raise an error, in another process."""
    raise error


@pytest.mark.timeout(120)
def test_errors__leave_a_pool_of_processes_whole() -> None:
    """What a task raises is raised where its result is asked for, with the traceback there."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for error in ERRORS:
            with pytest.raises(type(error)) as raised:
                pool.submit(fail, error).result()
            assert raised.value == error
            assert "in fail" in str(raised.value.__cause__)
        assert pool.submit(Intent.parse, INTENT).result() == Intent.parse(INTENT)


@pytest.mark.parametrize("name", NOT_COPIED)
def test_clients__say_that_they_are_not_copied(name: str) -> None:
    """One clear error, the same for each way."""
    homes = (edges, feed, gateway, realtime, galaxy_notify)
    kind = next(getattr(home, name) for home in homes if hasattr(home, name))
    client = kind.__new__(kind)
    for way in WAYS:
        with pytest.raises(TypeError, match=f"^a {name} has open connections: create one in each"):
            way(client)
