"""Webhooks to many hosts of which some are sick: one takes no connection, others have no name."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from galaxy_notify.webhooks.signature import message_id
from tests.bench.figures import percentile
from tests.faults.support import names
from tests.faults.support.send_run import HOOKS, SendRun
from tests.support.receiver_process import LOCAL
from tests.support.wait import wait_until

HOSTS, DEAD, NAMELESS = 100, 1, 12
#: Ends of names: the first leads to the receiver, the second is never found.
_HERE, _NOWHERE = ".here.test", ".nowhere.test"
#: Routes of one call of the producer.
_TOGETHER: Final = 20
#: So long Redis is watched while nothing but routes of sick hosts is left.
_WATCHED_S: Final = 10.0
#: What sick hosts may cost: times the 99th percentile of others, a share of Redis' processor.
MOST_RISE, MOST_WAITING = 2.0, 0.05


class Took(NamedTuple):
    """How long webhooks took from their accept to a host (s), and what Redis did for the rest.

    *waiting* is the share of a processor while only routes to sick hosts were left.
    """

    p50: float
    p99: float
    waiting: float = 0.0

    def __str__(self) -> str:
        return f"p50 {self.p50 * 1000:.0f}, p99 {self.p99 * 1000:.0f} ms"


class Comparison(NamedTuple):
    """The same load without sick hosts and beside them."""

    without: Took
    beside: Took
    text: str

    @property
    def is_kept(self) -> bool:
        """Whether healthy hosts hardly notice, and what waits costs Redis little."""
        return self.is_within(0.0)

    def is_within(self, noise_s: float) -> bool:
        """Return whether that is so, where *noise_s* is no wonder on a busy machine."""
        allowed = MOST_RISE * max(self.without.p99, noise_s)
        return self.beside.p99 <= allowed and self.beside.waiting < MOST_WAITING

    def __str__(self) -> str:
        return self.text


def compare_hosts(one: SendRun, dead_port: int, routes: int, per_s: float) -> Comparison:
    """Send so many webhooks to healthy hosts, then so many to all, at the same rate."""
    settle_hosts(one, dead_port)
    one.daemon(variables=variables(), worker__serves=[HOOKS]).wait_for("daemon working")
    without = send_to(one, healthy(one), routes, per_s)
    beside = send_to(one, one.users, routes, per_s)
    left = len(one.deployment.scheduled(HOOKS))
    text = (
        f"{routes:,} webhooks at {per_s:g}/s to healthy hosts: {without}; to as many and"
        f" {DEAD + NAMELESS} sick ones: {beside}; then {left:,} routes waited, Redis busy for"
        f" {beside.waiting:.1%}"
    )
    return Comparison(without, beside, text)


@contextmanager
def dead_host() -> Iterator[int]:
    """Yield a port whose listener answers no connection: its queue is full."""
    with socket.create_server((LOCAL, 0), backlog=0) as full:
        port: int = full.getsockname()[1]
        with socket.create_connection((LOCAL, port)):
            yield port


def variables() -> dict[str, str]:
    """Return the environment of a daemon that finds these names."""
    return {names.VARIABLE: json.dumps({_HERE: LOCAL, _NOWHERE: None})}


def settle_hosts(one: SendRun, dead_port: int) -> None:
    """Give a user an endpoint on each host; the sick ones come last."""
    one.users = [f"u{number}" for number in range(HOSTS)]
    for number, user in enumerate(one.users):
        if number < HOSTS - DEAD - NAMELESS:
            url = one.receiver.url(f"/{user}", f"{user}{_HERE}")
        elif number < HOSTS - DEAD:
            url = one.receiver.url(f"/{user}", f"{user}{_NOWHERE}")
        else:
            url = f"http://{user}{_HERE}:{dead_port}/{user}"
        one.contact(user, url, [HOOKS])


def healthy(one: SendRun) -> Sequence[str]:
    """Return the users whose hosts are well."""
    return one.users[: HOSTS - DEAD - NAMELESS]


def send_to(one: SendRun, users: Sequence[str], routes: int, per_s: float) -> Took:
    """Accept webhooks for these users in turn, so many a second; wait for the healthy hosts."""
    well, at = set(healthy(one)), dict[str, float]()
    before, began = one.receiver.count(), time.monotonic()
    for first in range(0, routes, _TOGETHER):
        threading.Event().wait(max(0.0, began + first / per_s - time.monotonic()))
        users_now = [users[n % len(users)] for n in range(first, min(routes, first + _TOGETHER))]
        at |= _accepted(one, users_now, well)
    wait_until(
        lambda: one.receiver.count() >= before + len(at),
        "healthy hosts have theirs",
        _patience(routes),
    )
    took = [each.at - at[each.id] for each in one.receiver.requests()[before:]]
    return Took(percentile(took, 0.5), percentile(took, 0.99), _busy(one))


def _accepted(one: SendRun, users: Sequence[str], well: set[str]) -> dict[str, float]:
    """Accept one notification for each; return the ids of those to healthy hosts, with the time."""
    found, now = dict[str, float](), time.time()
    intents: list[dict[str, Any]] = [
        {"type": "t", "producer": "p", "recipients": [user], "channels": [HOOKS]} for user in users
    ]
    receipts = one.deployment.notifier.accept_many(intents)
    for user, receipt in zip(users, receipts, strict=True):
        assert receipt.status == "accepted", receipt
        if user in well:
            found[message_id(f"{receipt.notification_id}/{HOOKS}:{user}")] = now
    return found


def _patience(routes: int) -> float:
    return 300 + routes / 50


def _busy(one: SendRun) -> float:
    """Return the share of a processor that the server takes now."""
    began, before = time.monotonic(), _processor_s(one)
    threading.Event().wait(_WATCHED_S)
    return (_processor_s(one) - before) / (time.monotonic() - began)


def _processor_s(one: SendRun) -> float:
    with one.server.client(decode=True) as client:
        used: Any = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
