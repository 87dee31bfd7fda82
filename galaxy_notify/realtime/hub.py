"""The users of one instance: gives events to their streams in order, and finds what is missing.

An instance is told of events by its inbox, in any order, twice, or never; the recent list of each
user has them all. So a stream takes only what follows from what it has sent. What came early waits
for `reorder_s`; what is missing then is read from the list, for all users of that moment at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Final

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.realtime.message import Message, counted
from galaxy_notify.realtime.stream import Offered, Stream
from galaxy_notify.redis_state.recent import RecentPlace
from galaxy_notify.redis_state.words import Word

#: Events of a user that may wait for an earlier one, and their characters.
_HELD_MAX: Final = 64
_HELD_LENGTH: Final = 1 << 20


class _User:
    """The streams of one user here, and the events that came too early for some of them."""

    __slots__ = ("counts", "held", "streams", "top")

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self.held: dict[Cursor, Message] = {}
        #: The newest counts of the feed that this instance knows; live streams were sent them.
        self.counts: Counts | None = None
        #: The top of the recent list when it was read last and held less than ``held``.
        self.top: Cursor | None = None


class Hub:
    """Which streams each user has on this instance, and what they still need."""

    def __init__(
        self,
        reorder_s: float,
        wake: Callable[[], object],
        miss_counts: Callable[[str], object] = bool,
    ) -> None:
        """Prepare; *wake* is called when the recent list of some user should be read.

        *miss_counts* is called with a user who is here and has no unread mark.
        """
        self._reorder_s = reorder_s
        self._wake = wake
        self._miss_counts = miss_counts
        self._users: dict[str, _User] = {}
        # User -> from when on (monotonic clock) its recent list is read.
        self._unsure: dict[str, float] = {}

    @property
    def users(self) -> Sequence[str]:
        """The users with a stream here."""
        return tuple(self._users)

    def streams_of(self, user: str) -> Sequence[Stream]:
        """Return the streams of a user."""
        found = self._users.get(user)
        return tuple(found.streams) if found else ()

    def add(self, stream: Stream) -> None:
        """Add a stream."""
        self._users.setdefault(stream.user, _User()).streams.add(stream)

    def has(self, stream: Stream) -> bool:
        """Return whether a stream was added and not removed."""
        user = self._users.get(stream.user)
        return user is not None and stream in user.streams

    def remove(self, stream: Stream) -> bool:
        """Remove a stream; return whether it was the last of its user."""
        user = self._users.get(stream.user)
        if user is None:
            return False
        user.streams.discard(stream)
        if user.streams:
            return False
        del self._users[stream.user]
        self._unsure.pop(stream.user, None)
        return True

    def go_live(self, stream: Stream) -> None:
        """Have a stream take events; read the list again if one came while it was being read."""
        stream.go_live()
        if stream.was_passed_over:
            self._read_in(stream.user, 0.0)

    def receive(self, user_id: str, message: Message) -> None:
        """Give an event to the streams of its user, if there are any here."""
        user = self._users.get(user_id)
        if user is None:
            return
        assert message.cursor is not None
        outcomes = {stream.offer(message) for stream in user.streams}
        if Offered.DIFFERENT in outcomes:
            self._read_in(user_id, 0.0)
        elif Offered.AHEAD in outcomes:
            user.held[message.cursor] = message
            length = sum(len(held.data) for held in user.held.values())
            is_full = len(user.held) > _HELD_MAX or length > _HELD_LENGTH
            if is_full:
                user.held.clear()
            self._read_in(user_id, 0.0 if is_full else self._reorder_s)
        elif user.held:
            self._offer_held(user)

    def counts_of(self, user_id: str) -> Counts | None:
        """Return the newest counts of a user's feed that are known here."""
        user = self._users.get(user_id)
        return user.counts if user else None

    def receive_counts(self, user_id: str, counts: Counts | None) -> None:
        """Give the counts of a feed to the streams of its user, unless newer ones are known.

        None says that the user has no unread mark.
        """
        user = self._users.get(user_id)
        if user is not None and counts is None:
            self._miss_counts(user_id)
        if user is None or counts is None or not counts.is_newer(user.counts):
            return
        user.counts = counts
        message = counted(counts)
        for stream in user.streams:
            # Until it is live its greeting is to come, which has them.
            if stream.is_live:
                stream.put(message)

    def repeat_counts(self, stream: Stream, before: Counts | None) -> None:
        """Send a stream the counts of its user, unless it was sent newer ones than *before*."""
        newest = self.counts_of(stream.user)
        # Until it is live its greeting is to come, which has them.
        if newest is not None and newest == before and stream.is_live:
            stream.put(counted(newest))

    def compare(self, user_id: str, top: Cursor) -> None:
        """Compare the top of a user's recent list with what the streams have sent."""
        streams = [stream for stream in self.streams_of(user_id) if stream.is_live]
        if any(stream.cursor != top for stream in streams):
            self._read_in(user_id, self._reorder_s)

    def due(self) -> Sequence[RecentPlace]:
        """Return from where on recent lists are to be read now; they count as read."""
        now = monotonic()
        places: set[RecentPlace] = set()
        for user in [user for user, at in self._unsure.items() if at <= now]:
            del self._unsure[user]
            for stream in self.streams_of(user):
                if stream.is_live and stream.has_room:
                    places.add(RecentPlace(user, stream.cursor))
                elif stream.is_live and not stream.end_reason:
                    self._read_in(user, self._reorder_s)
        return tuple(places)

    def due_in_s(self) -> float | None:
        """Return after how long `due` has something; None if nothing is missing."""
        if not self._unsure:
            return None
        return max(0.0, min(self._unsure.values()) - monotonic())

    def again(self, places: Iterable[RecentPlace], pause_s: float) -> None:
        """Read places later: they could not be read, or not to their end."""
        for user, _ in places:
            self._read_in(user, pause_s)

    def catch_up(
        self, place: RecentPlace, word: str, top: Cursor, messages: Sequence[Message]
    ) -> int:
        """Give what was read behind a place to the streams that are there.

        Return how many of them were reset.
        """
        resets, is_full, is_met = 0, False, False
        streams = self.streams_of(place.user)
        for stream in streams:
            if stream.is_live and stream.cursor == place.cursor:
                is_met = True
                if word == Word.READ:
                    stream.catch_up(messages)
                    is_full |= bool(messages) and stream.cursor != messages[-1].cursor
                else:
                    stream.reset_to(top, word)
                    resets += 1
        if messages and messages[-1].cursor != top:
            self._read_in(place.user, 0.0)
        elif is_full:
            self._read_in(place.user, self._reorder_s)
        elif not is_met and any(one.is_live and one.cursor != top for one in streams):
            # Its stream took an event that was held, so it stands between the place and the top.
            self._read_in(place.user, 0.0)
        elif user := self._users.get(place.user):
            self._settle_held(place.user, user, top)
        return resets

    def _settle_held(self, user_id: str, user: _User, top: Cursor) -> None:
        """Send what came early and now follows; forget what never will."""
        self._offer_held(user)
        if user.held and user.top == top:
            # Twice the list had nothing before them: a server that was replaced gave them out.
            user.held.clear()
        if user.held:
            self._read_in(user_id, self._reorder_s)
        user.top = top if user.held else None

    def _offer_held(self, user: _User) -> None:
        for cursor in sorted(user.held, key=lambda one: one.offset):
            outcomes = {stream.offer(user.held[cursor]) for stream in user.streams}
            if outcomes <= {Offered.TAKEN}:
                del user.held[cursor]

    def _read_in(self, user_id: str, pause_s: float) -> None:
        at = monotonic() + pause_s
        self._unsure[user_id] = min(at, self._unsure.get(user_id, at))
        self._wake()
