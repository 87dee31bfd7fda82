"""Conditions of changes: which digests a header names, and what a change under one answers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest

from galaxy_notify.errors import InvalidPreference
from galaxy_notify.intake.rules.preferences import silenced
from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.preferences import UserChange
from galaxy_notify.redis_state.words import Word
from galaxy_notify.web.preferences import change, expected_digests, preference_problems, put, shown
from galaxy_notify.web.problems import Problem

_FIRST, _SECOND = "1" * 40, "ab" * 20


class _Store:
    """Answers every change with one word, and keeps the changes."""

    def __init__(self, word: Word = Word.CHANGED, digest: str = _FIRST) -> None:
        self.word = word
        self.digest = digest
        self.changes: list[UserChange] = []

    async def get(self, user: str) -> UserPreferences:
        return UserPreferences(silenced=user == "u1", digest=self.digest)

    async def change(self, changes: Sequence[UserChange]) -> list[Answer]:
        self.changes += changes
        return [Answer(self.word, "")] * len(changes)

    async def channels(self) -> Collection[str]:
        return ("push",)


@pytest.mark.parametrize(
    ("header", "digests"),
    [
        ("*", ()),
        (" * ", ()),
        (f'"{_FIRST}"', (_FIRST,)),
        (f' "x" ,"{_FIRST}",\t"{_SECOND}"', (_FIRST, _SECOND)),
        (f'W/"{_FIRST}"', ("-",)),
        (f'"{_FIRST.upper()}0"', ("-",)),
        ('""', ("-",)),
        (f'"{_FIRST} {_SECOND}"', None),
        (f'"{_FIRST},{_SECOND}"', ("-",)),
        (",".join(['"x"'] * 16), ("-",)),
        (",".join(['"x"'] * 17), None),
        (f'*, "{_FIRST}"', None),
        (f'"{_FIRST}', None),
        (f'w/"{_FIRST}"', None),
        (_FIRST, None),
        ("", None),
        (",", None),
    ],
)
def test_condition__names_digests(header: str, digests: Sequence[str] | None) -> None:
    """All that are strong, or one that nothing has; without a condition there are none."""
    if digests is not None:
        assert expected_digests(header) == digests
        return
    with pytest.raises(Problem) as refused:
        expected_digests(header)
    assert (refused.value.kind, refused.value.errors[0]["field"]) == ("bad-request", "If-Match")


@pytest.mark.parametrize("word", [Word.CHANGED, Word.SAME])
def test_change__answers_what_holds_now(word: Word) -> None:
    """With the tag of what is stored, and whether it was changed; its condition is handed on."""
    store = _Store(word)
    done = asyncio.run(change(store, silenced("u1"), [_SECOND]))
    assert done.document["changed"] == (word == Word.CHANGED)
    assert done.headers == {"ETag": f'"{_FIRST}"'}
    assert [one.expected for one in store.changes] == [[_SECOND]]
    assert asyncio.run(put(store, "u2", {"silenced": True})).document["user"] == "u2"
    assert (store.changes[1].whole, store.changes[1].expected) == (True, ())


@pytest.mark.parametrize("digest", [_FIRST, ""])
def test_change__of_what_was_changed_meanwhile_is_412(digest: str) -> None:
    """The problem has the tag of what is stored, where that has one."""
    store = _Store(Word.STALE, digest)
    with pytest.raises(Problem) as refused:
        asyncio.run(change(store, silenced("u1"), [_SECOND]))
    tag = f'"{digest}"' if digest else None
    assert (refused.value.status, refused.value.more) == (412, {"etag": tag})
    assert refused.value.headers.get("ETag") == tag
    assert asyncio.run(shown(store, "u1")).headers.get("ETag") == tag


def test_problems__name_the_field_in_the_body() -> None:
    """Not where it would be in an imported line."""
    with pytest.raises(Problem) as refused, preference_problems():
        raise InvalidPreference("preferences.types", "300 types", "too_large")
    assert (refused.value.kind, refused.value.detail) == ("invalid", "types: 300 types")
