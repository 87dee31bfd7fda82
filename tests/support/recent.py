"""Recent lists and presence, as gateways write them."""

from __future__ import annotations

from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.recent import (
    NewEvent,
    RecentLimits,
    new_retraction,
    presence_attend,
    read_delivered,
    user_deliver,
)
from tests.support.dead_letters import DeadLetterFixture

CREATED_MS = 1_900_000_000_000


def deliver(deployment: DeadLetterFixture, user: str, *numbers: int) -> None:
    """Append events to the recent list of a user, each with the notification of its number."""
    for number in numbers:
        deliver_named(deployment, user, f"{number:032x}", number)


def deliver_named(deployment: DeadLetterFixture, user: str, name: str, number: int = 0) -> None:
    """Append the event of a notification to the recent list of a user."""
    keys, title = deployment.key_space.keys_of_user(user), f"Turn {number}"
    event = LiveEvent(
        f"{name}/push:{user}", "game.turn", "info", title, "Go", {"turn": number}, CREATED_MS
    )
    _append(deployment, keys, NewEvent(user, name, event.packed))


def retract(deployment: DeadLetterFixture, user: str, number: int) -> None:
    """Append the retraction of a notification to the recent list of a user."""
    keys = deployment.key_space.keys_of_user(user)
    _append(deployment, keys, new_retraction(user, f"{number:032x}"))


def _append(deployment: DeadLetterFixture, keys: Keys, event: NewEvent) -> None:
    call = user_deliver(keys, RecentLimits(100, 60_000), "e1x", [event])
    (found,) = read_delivered(run_sync(deployment.client, call), [event])
    assert found.cursor is not None


def attend(deployment: DeadLetterFixture, instance: str, *users: str) -> None:
    """Let an instance hold a connection of each of the users."""
    for user in users:
        keys = deployment.key_space.keys_of_user(user)
        run_sync(deployment.client, presence_attend(keys, instance, [user], 30_000))
