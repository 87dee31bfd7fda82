"""One busy call of each script that is about users, prepared to be sent."""

from __future__ import annotations

from typing import Any

from galaxy_notify.model.cursor import BEGINNING
from galaxy_notify.model.feed import Counts
from galaxy_notify.model.user_preferences import digest_of
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.attempts import EndpointAttempt, RecordedAttempt, attempt_record
from galaxy_notify.redis_state.contacts import ContactChange, contact_change
from galaxy_notify.redis_state.edges import Zone, edge_fire
from galaxy_notify.redis_state.preferences import (
    UserChange,
    preference_query,
    preference_read_page,
    preference_set,
)
from galaxy_notify.redis_state.recent import (
    NewEvent,
    RecentLimits,
    RecentPlace,
    new_retraction,
    presence_attend,
    recent_read,
    user_deliver,
)
from galaxy_notify.redis_state.reservations import (
    KeptOrder,
    Reservation,
    collapse_record,
    cooldown_reserve,
)
from galaxy_notify.redis_state.unread import UserCounts, unread_mark
from tests.scripts.support.shard import NOW, Shard


def querying(shard: Shard) -> ScriptCall:
    """A user who wants something, one who never said so, one whose key holds something else."""
    shard.client.hset(shard.keys.preferences("u1"), mapping={"*": "{}", "silenced": "1"})
    shard.client.set(shard.keys.preferences("u3"), "foreign")
    return preference_query(shard.keys, "chat", ["u1", "u2", "u3"])


def reserving(shard: Shard) -> ScriptCall:
    """Free, held, held by itself, held by a lesser one, by what was not delivered, foreign."""
    held = [Reservation(f"u{n}", f"{1:032x}", 1, None) for n in range(2, 6)]
    shard.run(cooldown_reserve(shard.keys, "chat", 1000, held))
    shard.client.hset(shard.keys.cooldown("chat", "u6"), "foreign", "1")
    void: Any = shard.client.get(shard.keys.cooldown("chat", "u5"))
    mine, other = f"{1:032x}", f"{2:032x}"
    items = [
        Reservation("u1", other, 1, NOW + 5),
        Reservation("u2", other, 1, None),
        Reservation("u3", mine, 1, None),
        Reservation("u4", other, 2, None),
        Reservation("u5", other, 1, None, void),
        Reservation("u6", other, 1, None),
    ]
    return cooldown_reserve(shard.keys, "chat", 1000, items)


def firing(shard: Shard) -> ScriptCall:
    """An edge that fired, came back, and goes above again."""
    for number, zone in enumerate((Zone.ABOVE, Zone.BELOW)):
        shard.run(edge_fire(shard.keys, "load", zone, 0, f"{number:016x}"))
    return edge_fire(shard.keys, "load", Zone.ABOVE, 0, f"{2:016x}")


def collapsing(shard: Shard) -> ScriptCall:
    """The first, one after another, one that comes again late, and a foreign key."""
    for number in (1, 2):
        made = f"{number:032x}"
        shard.run(
            collapse_record(shard.keys, "ab", KeptOrder(60_000), [("u2", made), ("u3", made)])
        )
    shard.client.hset(shard.keys.newest("ab", "u4"), "foreign", "1")
    items = [("u1", 3), ("u2", 3), ("u3", 1), ("u4", 3)]
    return collapse_record(
        shard.keys, "ab", KeptOrder(60_000), [(user, f"{n:032x}") for user, n in items]
    )


def setting(shard: Shard) -> ScriptCall:
    """Users who want something new, something else, less, nothing at all, the same again.

    And if nothing was changed meanwhile: what was not, what was, what is made already.
    """
    for user in ("u2", "u3", "u4", "u5", "u6", "u7", "u8"):
        shard.client.hset(shard.keys.preferences(user), mapping={"*": "{}", "quiet": "q"})
    seen, other = digest_of({b"*": b"{}", b"quiet": b"q"}), digest_of({})
    changes = [
        UserChange("u1", {"*": b"{}", "type:chat": b"c"}),
        UserChange("u2", {"*": b"[]", "silenced": b"1", "quiet": b""}),
        UserChange("u3", {"quiet": b""}),
        UserChange("u4", {"silenced": b"1"}, whole=True),
        UserChange("u5", {}, whole=True),
        UserChange("u6", {"*": b"[]"}, whole=True, expected=[other, seen]),
        UserChange("u7", {"*": b"[]"}, whole=True, expected=[other]),
        UserChange("u8", {"quiet": b"q"}, expected=[other]),
    ]
    return preference_set(shard.keys, changes)


def reading(shard: Shard) -> ScriptCall:
    """Users who want something, and one whose key holds something else."""
    shard.run(setting(shard))
    shard.client.set(shard.keys.preferences("u9"), "foreign")
    return preference_read_page(shard.keys)


def changing_contacts(shard: Shard) -> ScriptCall:
    """A new contact, one that is there, another value, one that goes, and others of a channel."""
    before = [ContactChange("hooks", name, b"1old") for name in ("a", "b", "c", "d")]
    shard.run(contact_change(shard.keys, "u1", [*before, ContactChange("mail", "m", b"1old")]))
    changes = [
        ContactChange("hooks", "a", b"1old", b"1old"),
        ContactChange("hooks", "b", b"1new", b"1old"),
        ContactChange("hooks", "c", b"", b"1old"),
        ContactChange("hooks", "e", b"1new", b""),
    ]
    return contact_change(shard.keys, "u1", changes, ["hooks"])


def recording_attempts(shard: Shard) -> ScriptCall:
    """An endpoint without attempts, one that fails on, a repeat, and a foreign key."""
    first, then = (
        EndpointAttempt(NOW + n, f"{n:032x}/hooks:u1", "chat", 1, "gone") for n in (1, 2)
    )
    shard.run(attempt_record(shard.keys, [RecordedAttempt("u2", "hooks/a", first)]))
    shard.client.set(shard.keys.attempts("u3", "hooks/a"), "foreign")
    items = [RecordedAttempt(f"u{n}", "hooks/a", then) for n in (1, 2, 3)]
    return attempt_record(shard.keys, [*items, RecordedAttempt("u2", "hooks/a", first)])


def marking(shard: Shard) -> ScriptCall:
    """A user without a mark, an older, a newer and an unreadable one, and a foreign key."""
    older, newer = Counts(1, 1, 1, 1), Counts(2, 2, 2, 1)
    shard.run(unread_mark(shard.keys, [UserCounts("u2", older), UserCounts("u3", newer)]))
    shard.client.hset(shard.keys.unread("u4"), mapping={"version": "x", "epoch": "9"})
    shard.client.set(shard.keys.unread("u5"), "foreign")
    shard.run(presence_attend(shard.keys, "gw-1", ["u2", "u4"], 1000))
    middle = Counts(3, 3, 2, 1)
    return unread_mark(shard.keys, [UserCounts(f"u{n}", middle) for n in range(1, 6)])


def _delivering(shard: Shard, epoch: str, *numbers: int) -> ScriptCall:
    events = [
        NewEvent(user, f"{number:032x}", b"event") for user in ("u1", "u2") for number in numbers
    ]
    return user_deliver(shard.keys, RecentLimits(2, 1000), epoch, events)


def delivering(shard: Shard) -> ScriptCall:
    """An event that is there, a retraction, and a new event that makes the list too long."""
    shard.run(_delivering(shard, "a", 1, 2))
    shard.run(presence_attend(shard.keys, "gw-1", ["u1"], 1000))
    new = [
        *(NewEvent(user, f"{number:032x}", b"event") for user in ("u1", "u2") for number in (2, 3)),
        new_retraction("u1", f"{3:032x}"),
        NewEvent("u1", f"{3:032x}", b"event"),
    ]
    return user_deliver(shard.keys, RecentLimits(2, 1000), "b", new)


def reading_recent(shard: Shard) -> ScriptCall:
    """A user with events behind the cursor, one without a list."""
    shard.run(_delivering(shard, "a", 1, 2))
    places = [RecentPlace("u1", BEGINNING), RecentPlace("u3", BEGINNING)]
    return recent_read(shard.keys, places, most=9, count=9)


def attending(shard: Shard) -> ScriptCall:
    """A user with events who is present elsewhere, one who is nowhere."""
    shard.run(_delivering(shard, "a", 1))
    shard.run(presence_attend(shard.keys, "gw-1", ["u1"], 1000))
    return presence_attend(shard.keys, "gw-2", ["u1", "u3"], 1000)
