"""The preferences of users, as programs use them: ``notifier.preferences``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from galaxy_notify.errors import InvalidPreference
from galaxy_notify.model.preference import QUIET, SILENCED, YES, Preference, encode
from galaxy_notify.model.preference_input import check_quiet, check_type, check_user, check_wish
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences, fields_of
from galaxy_notify.redis_client.failed_calls import answer_fault, failed_call
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.async_client import AsyncClient
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.client import SyncClient
from galaxy_notify.redis_state.preferences import UserChange, change_flow, get_flow
from galaxy_notify.redis_state.words import Word

Changed = TypeVar("Changed")
_GONE = b""


class _Changes(ABC, Generic[Changed]):
    """The changes of preferences, which return whether anything changed.

    Each may be repeated. A change that was sent twice because its reply was lost may return False.
    """

    @abstractmethod
    def _change(self, change: Callable[..., UserChange], *values: Any) -> Changed:
        """Store the *change* of these values."""

    def remove(self, user: str, type: str | None = None) -> Changed:
        """Remove the preference of a type, or that of every type."""
        return self._change(removed, user, type)

    def silence(self, user: str) -> Changed:
        """Deliver only mandatory types to the user; the other preferences are kept."""
        return self._change(silenced, user)

    def resume(self, user: str) -> Changed:
        """End silence; the user's other preferences apply again."""
        return self._change(resumed, user)

    def quiet(
        self, user: str, start: str | None, end: str | None = None, zone: str | None = None
    ) -> Changed:
        """Set the quiet hours, such as 22:00 to 07:00 in Europe/Berlin; None removes them."""
        return self._change(quieted, user, start, end, zone)

    def delete(self, user: str) -> Changed:
        """Delete all preferences of the user."""
        return self._change(deleted, user)


class Preferences(_Changes[bool]):
    """The preferences of users; safe to share between threads.

    Each change raises `InvalidPreference`, and the errors of `Notifier` if Redis does not serve.
    """

    def __init__(self, client: SyncClient) -> None:
        """Use the connections of a notifier."""
        self._client = client

    def get(self, user: str) -> UserPreferences:
        """Return all preferences of a user; empty ones mean the defaults."""
        check_user(user)
        try:
            return self._client.run_flow(get_flow(self._client.key_space(), user))
        except RedisFault as error:
            raise failed_call(error) from error

    def set(
        self,
        user: str,
        type: str | None = None,
        channels: Collection[str] | None = None,
        min_severity: str | None = None,
        in_app: bool | None = None,
    ) -> bool:
        """Replace the preference of a type, or of every type; empty *channels* mute it.

        The channel `in_app` follows *in_app* alone, not the list of channels.
        """
        wanted = check_wish(channels, min_severity, self.channels(), "", in_app)
        return self._change(wish, user, type, wanted)

    def change(self, changes: Sequence[UserChange]) -> list[Answer]:
        """Store many changes in few round trips; return an answer for each, in order."""
        try:
            return self._client.run_flow(change_flow(self._client.key_space(), changes))
        except RedisFault as error:
            raise failed_call(error) from error

    def channels(self) -> Sequence[str]:
        """Return the channels of the deployment."""
        try:
            return self._client.key_space().shared.channels
        except RedisFault as error:
            raise failed_call(error) from error

    def _change(self, change: Callable[..., UserChange], *values: Any) -> bool:
        return is_changed(self.change([change(*values)]))


class AsyncPreferences(_Changes[Coroutine[Any, Any, bool]]):
    """`Preferences` for asyncio: the same promises, with await."""

    def __init__(self, client: AsyncClient) -> None:
        """Use the connections of a notifier."""
        self._client = client

    async def get(self, user: str) -> UserPreferences:
        """Return all preferences of a user; see `Preferences.get`."""
        check_user(user)
        await self._client.turn()
        try:
            return await self._client.run_flow(get_flow(await self._client.key_space(), user))
        except RedisFault as error:
            raise failed_call(error) from error

    async def set(
        self,
        user: str,
        type: str | None = None,
        channels: Collection[str] | None = None,
        min_severity: str | None = None,
        in_app: bool | None = None,
    ) -> bool:
        """Replace the preference of a type, or of every type; see `Preferences.set`."""
        wanted = check_wish(channels, min_severity, await self.channels(), "", in_app)
        return await self._change(wish, user, type, wanted)

    async def change(self, changes: Sequence[UserChange]) -> list[Answer]:
        """Store many changes in few round trips; return an answer for each, in order."""
        await self._client.turn()
        try:
            return await self._client.run_flow(change_flow(await self._client.key_space(), changes))
        except RedisFault as error:
            raise failed_call(error) from error

    async def channels(self) -> Sequence[str]:
        """Return the channels of the deployment."""
        try:
            return (await self._client.key_space()).shared.channels
        except RedisFault as error:
            raise failed_call(error) from error

    async def _change(self, change: Callable[..., UserChange], *values: Any) -> bool:
        return is_changed(await self.change([change(*values)]))


def wish(user: str, type_name: str | None, wanted: Preference) -> UserChange:
    """Return the change that replaces a preference; raise `InvalidPreference`."""
    return UserChange(check_user(user), fields_of(_type(type_name), wanted))


def removed(user: str, type_name: str | None) -> UserChange:
    """Return the change that removes a preference; raise `InvalidPreference`."""
    return UserChange(check_user(user), fields_of(_type(type_name), None))


def silenced(user: str) -> UserChange:
    """Return the change that silences a user; raise `InvalidPreference`."""
    return UserChange(check_user(user), {SILENCED: YES})


def resumed(user: str) -> UserChange:
    """Return the change that ends the silence of a user; raise `InvalidPreference`."""
    return UserChange(check_user(user), {SILENCED: _GONE})


def quieted(user: str, start: str | None, end: str | None, zone: str | None) -> UserChange:
    """Return the change that sets or removes quiet hours; raise `InvalidPreference`."""
    value = _GONE if start is None else encode(check_quiet(start, end, zone))
    return UserChange(check_user(user), {QUIET: value})


def deleted(user: str) -> UserChange:
    """Return the change that deletes all preferences of a user; raise `InvalidPreference`."""
    return UserChange(check_user(user), {}, whole=True)


def replaced(user: str, preferences: UserPreferences) -> UserChange:
    """Return the change that replaces all preferences of a user."""
    return UserChange(user, preferences.to_fields(), whole=True)


def is_changed(answers: Sequence[Answer]) -> bool:
    """Return whether anything changed; raise what `check_stored` raises."""
    for answer in answers:
        check_stored(answer)
    return any(answer.word == Word.CHANGED for answer in answers)


def check_stored(answer: Answer) -> None:
    """Raise `InvalidPreference` if the change is refused, `CallFailed` if it was not stored."""
    if answer.word == Word.FULL:
        message = f"the user has {MOST_FIELDS} preferences, which is the limit"
        raise InvalidPreference("type", message, "too_large")
    if answer.word == Word.FOREIGN:
        message = "the Redis key of its preferences has another type: remove it"
        raise InvalidPreference("user", message, "conflict")
    if answer.word not in (Word.CHANGED, Word.SAME):
        text = f"Redis could not store the preferences: {answer.detail[:1000]}"
        raise failed_call(
            answer_fault(answer.detail, wrote_nothing=answer.word == Word.REFUSED), text
        )


def _type(type_name: str | None) -> str | None:
    return None if type_name is None else check_type(type_name)
