"""Sends one claimed route: to whom, at which addresses, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.endings import DueRoute, Ending, Endings, Result
from galaxy_notify.channels.hosts import Busy, Hosts
from galaxy_notify.channels.kind import Kind, Target
from galaxy_notify.channels.line import Line
from galaxy_notify.channels.reporter import ChannelReporter
from galaxy_notify.channels.sources import Held
from galaxy_notify.contacts.contact import UNSUBSCRIBED, Contact
from galaxy_notify.errors import CallFailed, Corrupt, InvalidContact, Misconfigured, Unavailable
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.retries import SHORT_PAUSES_S

#: How long a route waits at least that cannot be sent for a reason on our side.
_OWN_FAULT_S: Final = 5.0
#: A key of contacts that is missing: a person has to act first.
_KEY_MISSING_S: Final = 60.0
#: One of those that wait comes back in this time.
_OWN_GAP_S: Final = 0.01
#: The feed is asked for this share of an attempt's time; an attempt needs half of it.
_FEED_SHARE: Final = 0.25
#: Failures in which the host did not answer; any answer, of whatever kind, shows that it lives.
_UNANSWERED: Final = frozenset({"auth", "connect", "disconnected", "dns", "timeout", "tls"})


class FindContacts(Protocol):
    """Returns the contacts of a user of a channel, disabled ones too; see `Contacts.of`."""

    async def of(self, user: str, channel: str) -> tuple[Contact, ...]: ...

    async def disable(self, user: str, contact: Contact, reason: str) -> Contact | None: ...


class HasRead(Protocol):
    """Returns whether the user has read a notification in the feed; raises `Unavailable`."""

    async def __call__(self, due: DueRoute) -> bool: ...


class Sending:
    """Sends the routes of one channel, at most `timeout_s` each."""

    def __init__(
        self,
        kind: Kind,
        endings: Endings,
        hosts: Hosts,
        reporter: ChannelReporter,
        timeout_s: float,
    ) -> None:
        self._kind = kind
        self._endings = endings
        self._hosts = hosts
        self._reporter = reporter
        self._timeout_s = timeout_s
        self._line = Line()
        self._asking: set[asyncio.Task[bool]] = set()
        #: None for a kind without contacts.
        self.contacts: FindContacts | None = None
        #: None where it is sent whether it was read or not.
        self.has_read: HasRead | None = None

    async def send(self, held: Held) -> Ending:
        """Send a claimed route, unless there is a reason not to, and return how it ends."""
        due = self._endings.read(held.claim, held.claimed)
        if isinstance(due, Ending):
            return due
        if monotonic() > held.since + self._timeout_s / 2:
            # Its claim was answered late, such as one that was repeated after an outage.
            return self._endings.released(due, 0, "")
        targets = await self._targets_or_ending(held, due)
        if isinstance(targets, Ending):
            return targets
        return await self._send_to(due, targets, held.since + self._timeout_s)

    async def _targets_or_ending(self, held: Held, due: DueRoute) -> Sequence[Target] | Ending:
        """Return where it is still to go, or how it ends unsent; our own faults are no attempts."""
        try:
            found = await self._looked_up(held, due)
        except RedisFault as error:
            return self._put_off(due, error.fault.reason)
        except Misconfigured as error:
            return self._put_off(due, str(error), _KEY_MISSING_S)
        except Unavailable as error:
            return self._put_off(due, str(error))
        return self._endings.skipped(due, found) if isinstance(found, str) else found

    def _put_off(self, due: DueRoute, reason: str, least_s: float = _OWN_FAULT_S) -> Ending:
        return self._endings.released(due, self._own_wait_ms(least_s), reason)

    def _own_wait_ms(self, least_s: float = _OWN_FAULT_S) -> int:
        """Return how long the next route waits for what is wrong on our side."""
        now = monotonic()
        return round((self._line.turn(now, _OWN_GAP_S) - now + least_s) * 1000)

    async def _looked_up(self, held: Held, due: DueRoute) -> Sequence[Target] | str:
        """Ask Redis a few times: what is asked for may be at another shard than the route."""
        for pause_s in SHORT_PAUSES_S:
            try:
                return await self._found(due)
            except RedisFault as error:
                await held.source.shard.noted(error)
            await asyncio.sleep(pause_s)
        return await self._found(due)

    async def _found(self, due: DueRoute) -> Sequence[Target] | str:
        found = await self._targets(due)
        # Asked last, just before it is sent.
        if not isinstance(found, str) and await self._was_read(due):
            return "read"
        return found

    async def _was_read(self, due: DueRoute) -> bool:
        """Ask the feed. Without it, a route waits as long as it may, and then it is sent."""
        if self.has_read is None:
            return False
        try:
            return await self._asked_feed(self.has_read(due))
        except (Unavailable, Misconfigured) as error:
            if self._endings.is_too_late(due):
                return False
            raise Unavailable(f"the feed cannot be asked: {error}") from error

    async def _asked_feed(self, asking: Coroutine[Any, Any, bool]) -> bool:
        """Ask for so long that an attempt can be made behind it; Postgres has longer time-outs."""
        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._was_asked)
        await asyncio.wait({task}, timeout=self._timeout_s * _FEED_SHARE)
        if not task.done():
            raise Unavailable("no reply in time", code="timeout")
        return task.result()

    def _was_asked(self, task: asyncio.Task[bool]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: nobody may wait for it any more

    async def _targets(self, due: DueRoute) -> Sequence[Target] | str:
        """Return where it is still to go; or why nowhere, as a reason to skip it."""
        if self.contacts is None:
            return _left(self._kind.targets((), due.event), due)
        contacts = await self.contacts.of(due.user_id, self._reporter.channel)
        if not contacts:
            return "no_contact"
        enabled = [one for one in contacts if not one.is_disabled]
        if not enabled:
            left = any(one.disabled_reason == UNSUBSCRIBED for one in contacts)
            return "unsubscribed" if left else "endpoint_disabled"
        targets = self._kind.targets(enabled, due.event)
        if not targets:
            return "unsubscribed"
        return _left(targets, due)

    async def _send_to(self, due: DueRoute, targets: Sequence[Target], end: float) -> Ending:
        left_s = end - monotonic()
        if left_s < self._timeout_s / 2:
            # The lookups took so long that an attempt would be cut short.
            return self._put_off(due, "no time was left for an attempt")
        deadline = asyncio.get_running_loop().time() + left_s
        sends = [self._send_one(due, target, deadline) for target in targets]
        # Each ends by the deadline. None is cancelled because another one failed.
        got = await _all_ended(sends)
        results = [
            Result(target, one)
            for target, one in zip(targets, got, strict=True)
            if not isinstance(one, BaseException)
        ]
        for one in got:
            if isinstance(one, OSError):
                self._reporter.failed_here(one)
            elif isinstance(one, BaseException):
                raise one
        if len(results) < len(got):
            here = [Result(targets[0], Busy(self._own_wait_ms(), rests=False))]
            return self._endings.after(due, [*results, *here])
        await self._disable(due, results)
        was_sent = any(isinstance(one.got, Attempt) for one in results)
        return self._endings.after(due, results)._replace(was_sent=was_sent)

    async def _send_one(self, due: DueRoute, target: Target, deadline: float) -> Attempt | Busy:
        permit = await self._hosts.enter(target.host)
        if isinstance(permit, Busy):
            return permit
        answered: bool | None = None
        try:
            attempt = await self._kind.send(
                _delivery(self._reporter.channel, due, target), target, deadline
            )
            if isinstance(attempt, Busy):
                return attempt
            answered = attempt.reason not in _UNANSWERED or attempt.status is not None
        finally:
            self._hosts.leave(permit, answered=answered)
        self._reporter.attempted(due, target, attempt, monotonic() - permit.since)
        return attempt

    async def _disable(self, due: DueRoute, results: Sequence[Result]) -> None:
        """Disable the contacts that want nothing any more."""
        for target, got in results:
            if not isinstance(got, Attempt) or got.outcome != "gone":
                continue
            if self.contacts is not None and target.contact is not None:
                try:
                    await self.contacts.disable(due.user_id, target.contact, got.gone_as)
                except (RedisFault, CallFailed, Corrupt, InvalidContact) as error:
                    # The next attempt is answered the same, and disables it then.
                    self._reporter.not_disabled(due, error)


async def _all_ended(
    sends: Sequence[Coroutine[Any, Any, Attempt | Busy]],
) -> list[Attempt | Busy | BaseException]:
    """Return the outcome of each, or its error. A single one, the usual case, needs no task."""
    if len(sends) > 1:
        return await asyncio.gather(*sends, return_exceptions=True)
    try:
        return [await send for send in sends]
    except Exception as error:
        return [error]


def _left(targets: Sequence[Target], due: DueRoute) -> Sequence[Target]:
    """Return the addresses that do not have it yet."""
    return [target for target in targets if target.id not in due.route.done]


def _delivery(channel: str, due: DueRoute, target: Target) -> Delivery:
    notification = due.notification
    return Delivery(
        channel=channel,
        user_id=due.user_id,
        event=due.event,
        contact=target.contact,
        producer=notification.producer,
        attempt=due.route.attempts + 1,
        expires_at_ms=due.expires_at_ms,
        request_id=notification.request_id,
        trace_id=notification.trace_id,
        traceparent=notification.traceparent,
    )
