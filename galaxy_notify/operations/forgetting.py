"""Deleting what Redis keeps of a user by name, and saying what ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.intake.change import cancel_flow
from galaxy_notify.intake.rules.collapse import KEPT_MS as COLLAPSE_KEPT_MS
from galaxy_notify.model.ids import Target
from galaxy_notify.model.route import PUBLISHABLE, Status
from galaxy_notify.model.wording import duration
from galaxy_notify.operations.dead_letters import DeadLetterReader
from galaxy_notify.operations.dead_moves import Run
from galaxy_notify.operations.list_filter import OPEN, ListFilter
from galaxy_notify.operations.listing import list_notifications
from galaxy_notify.operations.logging_out import KEPT_MS as LOGOUT_KEPT_MS
from galaxy_notify.redis_client.flows import run_flow_sync, unwrap
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.attempts import KEPT_MS as ATTEMPTS_KEPT_MS
from galaxy_notify.redis_state.contacts import contacts_flow
from galaxy_notify.redis_state.deployment import Deployment, server_now
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.unread import KEEP_MS
from galaxy_notify.settings import Settings

#: Pages of the list that are looked at: each is of a bounded number of notifications.
MOST_PAGES: Final = 10_000


class Remaining(NamedTuple):
    """What still names a user, and until when."""

    what: str
    until: str


class EndedRoutes(NamedTuple):
    """How many routes of a user were cancelled, and how many dead letters purged.

    *complete* is False where the pass over the list ended early.
    """

    cancelled: int
    purged: int
    complete: bool


class Forgotten(NamedTuple):
    """What was deleted of a user; *keys* says of each, by what it holds, whether it was there.

    *rows* of the feed are None without a feed.
    """

    routes: EndedRoutes
    rows: int | None
    keys: Mapping[str, bool]

    @property
    def deleted(self) -> Sequence[str]:
        """Return what the keys held that were there."""
        return [name for name, was_there in self.keys.items() if was_there]

    def as_json(self) -> dict[str, Any]:
        """Return what the command line and the HTTP API show."""
        return {**self.routes._asdict(), "rows": self.rows, "keys": self.keys}


def end_routes(
    deployment: Deployment, user: str, actor: str, is_over: Callable[[], bool] = lambda: False
) -> EndedRoutes:
    """Cancel the waiting routes of a user and purge its dead letters.

    They are found in the list of what was accepted until now. *is_over* ends that early. To be done
    before the rest is deleted, which they would bring back. Safe to repeat. Raises `RedisFault` and
    `Unavailable`.
    """
    letters = DeadLetterReader(deployment)
    wanted = ListFilter(user=user, states=(OPEN,), until_ms=server_now(deployment))
    cancelled = purged = 0
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = list_notifications(deployment, wanted, cursor=cursor)
        for item in page.items:
            name, statuses = item.listed.notification_id, item.seen.statuses
            if any(statuses[status] for status in PUBLISHABLE):
                cancelled += _cancel(deployment, name, user, actor)
            if statuses[Status.DEAD_LETTER]:
                purged += letters.purge(_dead_of(letters, name, user), Run(actor)).moved
        cursor = page.cursor
        if cursor is None or is_over():
            break
    return EndedRoutes(cancelled, purged, complete=cursor is None)


def delete_keys(deployment: Deployment, user: str) -> Mapping[str, bool]:
    """Delete what Redis keeps of a user by name; return what was there.

    To be done after the feed is deleted, whose counts would come back. Raises `RedisFault`.
    """
    keys = deployment.key_space.keys_of_user(user)
    stored = run_flow_sync(deployment.client, contacts_flow(keys, user))
    attempts = [keys.attempts(user, f"{one.channel}/{one.id}") for one in stored]
    # The contacts, which name the attempts, go last.
    wanted = {"attempts": attempts, **{name: [key] for name, key in _keys(keys, user).items()}}
    named = [Command(["DEL", *each]) for each in wanted.values() if each]
    replies = iter(run_all_sync(deployment.client, named))
    return {name: bool(each and unwrap(next(replies))) for name, each in wanted.items()}


def remaining(shared: SharedSettings, settings: Settings) -> Sequence[Remaining]:
    """Return what may name a user after it was forgotten, and when each of it ends."""
    days = settings.feed.retention_days
    kept = duration(shared.keep_ms(keyed=True))
    cooldowns = [shared.cooldown_ms, *map(shared.cooldown_of, shared.types_with_cooldowns)]
    rows = f"{days} days" if days else "until the user is forgotten again"
    entries = f"until {settings.gateway.max_len:,} newer entries of a shard are there"
    return [
        Remaining("records of notifications", f"{kept} after the last of their routes has ended"),
        Remaining("collapse keys", f"{duration(COLLAPSE_KEPT_MS)} after their last notification"),
        Remaining("cooldowns", f"at most {duration(max(cooldowns))}"),
        Remaining("events in the gateway streams", entries),
        Remaining("events that wait for Postgres, and parked ones", "until they are handled"),
        Remaining("presence, unread mark", f"{duration(KEEP_MS)} after the last open stream"),
        Remaining(
            "attempts at webhooks that were removed before",
            f"{duration(ATTEMPTS_KEPT_MS)} after the last one",
        ),
        Remaining("logout", f"{duration(LOGOUT_KEPT_MS)} after it"),
        Remaining("feed rows of what is delivered or retracted from now on", rows),
        Remaining("logs, traces, backups of Redis and of Postgres", "their own retention"),
    ]


def _cancel(deployment: Deployment, name: str, user: str, actor: str) -> int:
    cancelled = 0
    for channel in deployment.shared.channels:
        target = Target(name, f"{channel}:{user}")
        flow = cancel_flow(deployment.key_space, target, actor)
        cancelled += run_flow_sync(deployment.client, flow).cancelled
    return cancelled


def _dead_of(letters: DeadLetterReader, name: str, user: str) -> list[str]:
    """Return the ids of the dead letters that a user has of a notification."""
    found = [one.letter for one in letters.find([name])]
    return [one.id for one in found if one is not None and one.recipient == user]


def _keys(keys: Keys, user: str) -> Mapping[str, str]:
    """Return the keys of a user that are deleted, by what they hold."""
    return {
        "recent_list": keys.recent(user),
        "presence": keys.presence(user),
        "unread_mark": keys.unread(user),
        "preferences": keys.preferences(user),
        "tickets": keys.tickets(user),
        "contacts": keys.contacts(user),
    }


def half_done(redis: str, postgres: str) -> str:
    """Return which half is done, and why another is not; empty where there is no fault."""
    if not (redis or postgres):
        return ""
    if redis and postgres:
        return f"deleted nothing for certain; repeat it: {redis}; {postgres}"
    done, not_done = ("Postgres", "Redis") if redis else ("Redis", "Postgres")
    return f"deleted in {done}, not in {not_done}; repeat it: {redis or postgres}"
