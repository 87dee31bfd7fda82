"""The words that scripts answer with; the header of each script says what they mean there.

Replies carry plain strings, which are equal to the members. Looking a member up costs more than the
comparison itself, so code that runs for every notification or route keeps it in a constant.
"""

from __future__ import annotations

from enum import StrEnum, auto


class Word(StrEnum):
    """A script's answer to one item, or to a call."""

    # Of many scripts: nothing was done, for this reason.
    FAULT = auto()
    STALE = auto()
    GONE = auto()
    CHANGED = auto()
    FOREIGN = auto()
    # intent_accept
    ACCEPTED = auto()
    DUPLICATE = auto()
    CONFLICT = auto()
    CHECK_RULES = auto()
    # route_cancel; a caller also uses `unknown` if a reply was lost or cannot be read.
    KNOWN = auto()
    UNKNOWN = auto()
    CANCELLED = auto()
    # route_reschedule, intake_resubmit: done; fsck: changed since it was read.
    MOVED = auto()
    # route_claim: the whole call, then its verdicts on members
    CLAIMED = auto()
    IDLE = auto()
    PAUSED = auto()
    HELD = auto()
    VANISHED = auto()
    MISSING = auto()
    WRONG_TYPE = auto()
    OVERSIZED = auto()
    BLOATED = auto()
    # route_settle
    PUBLISHED = auto()
    RETRIED = auto()
    BURIED = auto()
    EXPIRED = auto()
    RELEASED = auto()
    DROPPED = auto()
    REFUSED = auto()
    # route_end
    DELIVERED = auto()
    SKIPPED = auto()
    # route_reposition, route_replay, route_purge
    REPOSITIONED = auto()
    REPLAYED = auto()
    PURGED = auto()
    # fsck_repair, fsck_recount, fsck_totals
    FOUND = auto()
    REPAIRED = auto()
    EVEN = auto()
    # channel_pause, channel_resume
    ALREADY = auto()
    RESUMED = auto()
    # preference_read, preference_set
    CROWDED = auto()
    SAME = auto()
    FULL = auto()
    # event_park, intake_reject, intake_resubmit
    PARKED = auto()
    REJECTED = auto()
    BARE = auto()
    CUT = auto()
    # stream_trim: what a group does to trimming
    HOLDS = auto()
    BEHIND = auto()
    # user_deliver
    APPENDED = auto()
    RETRACTED = auto()
    # unread_mark
    WRITTEN = auto()
    # recent_read: why events may be missing
    READ = auto()
    ROLLED_BACK = auto()
    TRIMMED = auto()
    TOO_MANY = auto()
