"""The kind ``apprise``: services of the operator's own, through the library Apprise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import scrypt
from time import monotonic
from typing import Final, NamedTuple

from pydantic import SecretStr

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.daemon_threads import DaemonThreads
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.hosts import Busy
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.line import Line
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.operations.service_urls import opened, refused_urls
from galaxy_notify.settings.channel_kinds import AppriseChannel
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

#: Severity → the type of a notification in Apprise.
TYPES: Final[Mapping[str, str]] = {
    "info": "info",
    "notice": "info",
    "warning": "warning",
    "critical": "failure",
}
_TIMED_OUT: Final = Attempt("transient", "timeout", "no answer in time")
#: Threads with this name write no logs: `telemetry.logs`.
_THREAD: Final = "apprise-send"
#: All threads of a service hang: one of the waiting routes comes back in this time.
_HANGING_S: Final = 1.0
_HANGING_GAP_S: Final = 0.06
# Slow on purpose: ids are stored and logged, and a URL may hold a password that can be guessed.
_ID_COST: Final = {"n": 1 << 12, "r": 8, "p": 1, "dklen": 8}


class _Service(NamedTuple):
    """One URL, with what it is called in messages."""

    name: str
    url: SecretStr
    threads: DaemonThreads[Attempt]
    line: Line
    edges: EdgeLog


class AppriseKind:
    """Notifies each URL of a channel, in one event loop.

    Apprise blocks, and has no time limit for a whole notification. So each runs in a thread, of
    which a URL has as many as `per_host` and `concurrency` allow. One that hangs keeps its thread,
    after its attempt has timed out; a URL whose threads all hang costs the others nothing.
    """

    has_contacts: Final = False

    def __init__(self, name: str, settings: AppriseChannel) -> None:
        """Load the library; raise `ConfigurationError`, which names the URLs that are invalid."""
        place = f"channels.{name}.urls"
        if problems := refused_urls(place, settings.urls):
            raise ConfigurationError("\n".join(problems))
        most = min(settings.per_host, settings.concurrency)
        self._services = {
            _id_of(url): _service(name, f"urls[{number}]", url, most)
            for number, url in enumerate(settings.urls)
        }

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return every URL, by an id that stays the same while the URL does."""
        del contacts, event
        return [Target(None, name, name) for name in self._services]

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt | Busy:
        """Notify one URL; see `Kind.send`. A failure says nothing of what was sent."""
        service = self._services[target.id]
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return _TIMED_OUT
        future = service.threads.start(partial(_notified, service, delivery.event))
        if future is None:
            service.edges.down("timeout", "all its threads are in use")
            now = monotonic()
            turn = service.line.turn(now + _HANGING_S, _HANGING_GAP_S)
            return Busy(round((turn - now) * 1000), rests=True)
        await asyncio.wait({future}, timeout=left)
        if future.done():
            service.edges.up()
            return future.result()
        return _TIMED_OUT._replace(detail=f"{service.name}: {_TIMED_OUT.detail}")

    async def close(self) -> None:
        """Do nothing: threads that hang end by themselves, or with the process."""


def _service(channel: str, name: str, url: SecretStr, most: int) -> _Service:
    log = get_logger("apprise channel", channel=channel, url=name)
    edges = EdgeLog(log, "service hangs", "service answers again")
    return _Service(name, url, DaemonThreads(_THREAD, most), Line(), edges)


def _notified(service: _Service, event: LiveEvent) -> Attempt:
    """Notify a service, in a thread of its own. An error is not shown: it may hold the URL."""
    text = event.body or event.title or event.type
    title = event.title if event.body else ""
    try:
        found = opened(service.url)
        kind = TYPES[event.severity]
        if found and found.notify(text, title=title, notify_type=kind, body_format="text"):
            return Attempt("delivered")
        what = "it did not take the notification"
    except BaseException as error:  # of a plugin, whatever it does
        what = f"it failed with {type(error).__name__}"
    return Attempt("transient", "unconfirmed", f"{service.name}: {what}")


def _id_of(url: SecretStr) -> str:
    return scrypt(url.get_secret_value().encode(), salt=b"galaxy-notify", **_ID_COST).hex()
