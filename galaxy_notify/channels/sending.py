"""Sends one claimed route: to whom, at which addresses, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final, Protocol

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.endings import DueRoute, Ending, Endings, Result
from galaxy_notify.channels.hosts import Busy, Hosts
from galaxy_notify.channels.kind import Kind, Target
from galaxy_notify.channels.reporter import ChannelReporter
from galaxy_notify.channels.sources import Held
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.errors import Misconfigured, Unavailable
from galaxy_notify.redis_client.faults import RedisFault

#: How long a route waits that cannot be sent for a reason on our side.
_OWN_FAULT_MS: Final = 5000
#: A key of contacts that is missing: a person has to act first.
_KEY_MISSING_MS: Final = 60_000
#: Failures in which the host did not answer; any answer, of whatever kind, shows that it lives.
_UNANSWERED: Final = frozenset({"connect", "disconnected", "dns", "timeout", "tls"})


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
        #: None for a kind without contacts.
        self.contacts: FindContacts | None = None
        #: None where it is sent whether it was read or not.
        self.has_read: HasRead | None = None

    async def send(self, held: Held) -> Ending:
        """Send a claimed route, unless there is a reason not to, and return how it ends."""
        due = self._endings.read(held.claim, held.claimed)
        if isinstance(due, Ending):
            return due
        targets = await self._targets_or_ending(held, due)
        if isinstance(targets, Ending):
            return targets
        return await self._send_to(due, targets, held.since + self._timeout_s)

    async def _targets_or_ending(self, held: Held, due: DueRoute) -> Sequence[Target] | Ending:
        """Return where it is still to go, or how it ends unsent; our own faults are no attempts."""
        try:
            found = await self._targets(due)
            if not isinstance(found, str) and await self._was_read(due):
                found = "read"
        except RedisFault as error:
            await held.source.shard.failed(error)
            return self._endings.released(due, 0, "")
        except Misconfigured as error:
            return self._endings.released(due, _KEY_MISSING_MS, str(error))
        except Unavailable as error:
            return self._endings.released(due, _OWN_FAULT_MS, str(error))
        return self._endings.skipped(due, found) if isinstance(found, str) else found

    async def _was_read(self, due: DueRoute) -> bool:
        """Ask the feed. Without it, a route waits as long as it may, and then it is sent."""
        if self.has_read is None:
            return False
        try:
            return await self.has_read(due)
        except (Unavailable, Misconfigured) as error:
            if self._endings.is_too_late(due):
                return False
            raise Unavailable(f"the feed cannot be asked: {error}") from error

    async def _targets(self, due: DueRoute) -> Sequence[Target] | str:
        """Return where it is still to go; or why nowhere, as a reason to skip it."""
        if self.contacts is None:
            return [Target()]
        contacts = await self.contacts.of(due.user_id, self._reporter.channel)
        if not contacts:
            return "no_contact"
        enabled = [one for one in contacts if not one.is_disabled]
        if not enabled:
            return "endpoint_disabled"
        targets = self._kind.targets(enabled, due.event)
        if not targets:
            return "unsubscribed"
        return [target for target in targets if target.id not in due.route.done]

    async def _send_to(self, due: DueRoute, targets: Sequence[Target], end: float) -> Ending:
        left_s = end - monotonic()
        if left_s < self._timeout_s / 2:
            # The lookups took so long that an attempt would be cut short.
            return self._endings.released(due, _OWN_FAULT_MS, "no time was left for an attempt")
        deadline = asyncio.get_running_loop().time() + left_s
        sends = [self._send_one(due, target, deadline) for target in targets]
        # Each ends by the deadline. None is cancelled because another one failed.
        got = await asyncio.gather(*sends, return_exceptions=True)
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
            here = [Result(targets[0], Busy(_OWN_FAULT_MS, rests=False))]
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
            answered = attempt.reason not in _UNANSWERED or attempt.status is not None
        finally:
            self._hosts.leave(permit, answered=answered)
        self._reporter.attempted(due, target, attempt, monotonic() - permit.since)
        return attempt

    async def _disable(self, due: DueRoute, results: Sequence[Result]) -> None:
        """Disable the contacts that want nothing any more."""
        for target, got in results:
            gone = isinstance(got, Attempt) and got.outcome == "gone"
            if gone and self.contacts is not None and target.contact is not None:
                try:
                    await self.contacts.disable(due.user_id, target.contact, "gone")
                except (RedisFault, Unavailable) as error:
                    # The next attempt is answered the same, and disables it then.
                    self._reporter.not_disabled(due, error)


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
