"""Whatever comes and goes, presence says in the end who is here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.realtime.roll import Roll

USERS = st.sampled_from(["u1", "u2", "u3"])
#: A user comes, goes, a round begins, or ends; the last one may be refused that of a user.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "remove"]), USERS),
        st.tuples(st.just("begin"), st.just("")),
        st.tuples(st.just("end"), st.sampled_from(["", "u1"])),
    ),
    max_size=40,
)


class Round:
    """Rounds that set presence to what the roll says, one at a time, as a loop makes them."""

    def __init__(self, roll: Roll) -> None:
        self.presence: set[str] = set()
        self._roll = roll
        self._changes: dict[str, int] | None = None
        self._here: set[str] = set()

    def begin(self) -> None:
        if self._changes is None:
            self._changes = dict(self._roll.open_changes(2))
            self._here = {user for user in self._changes if user in self._roll}

    def end(self, refused: str = "") -> None:
        if self._changes is not None:
            for user in self._changes.keys() - {refused}:
                (self.presence.add if user in self._here else self.presence.discard)(user)
            self._roll.settle(self._changes, unless=[refused])
            self._changes = None


class Users:
    """Who is here, and the number of each one's last change."""

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        self.counts = {"u1": 0, "u2": 0, "u3": 0}
        self.last: dict[str, int] = {}

    def change(self, what: str, user: str) -> None:
        if what == "add":
            self.counts[user] += 1
            self.last[user] = self._roll.add(user)
        elif self.counts[user]:
            self.counts[user] -= 1
            self.last[user] = self._roll.remove(user)

    def assert_shown(self, presence: set[str]) -> None:
        assert set(self._roll.users) == {one for one, count in self.counts.items() if count}
        for user, number in self.last.items():
            if self._roll.is_settled(user, number):
                assert (user in presence) == bool(self.counts[user])


@given(STEPS)
def test_roll__settles_what_presence_says(steps: list[tuple[str, str]]) -> None:
    """A change that counts as settled was seen; once all are, presence is who is here."""
    roll = Roll()
    rounds, users = Round(roll), Users(roll)
    for what, user in steps:
        if what == "begin":
            rounds.begin()
        elif what == "end":
            rounds.end(user)
        else:
            users.change(what, user)
        users.assert_shown(rounds.presence)
    rounds.end()
    while roll.has_open:
        rounds.begin()
        rounds.end()
    assert rounds.presence == set(roll.users) == set(roll.known)


def test_roll__does_not_wait_for_later_changes() -> None:
    """Who waits for a change need not wait until its user stops to come and go."""
    roll = Roll()
    first = roll.add("u1")
    changes = roll.open_changes(10)
    second = roll.remove("u1")
    roll.settle(changes)
    assert roll.is_settled("u1", first)
    assert not roll.is_settled("u1", second)
    assert roll.known == ("u1",)
