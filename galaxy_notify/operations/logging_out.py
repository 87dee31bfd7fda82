"""Ending the streams of a user, and refusing the tokens that opened them."""

from __future__ import annotations

from typing import Final, NamedTuple

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_inspect.presence import read_presence
from galaxy_notify.redis_state.deployment import Deployment, server_now
from galaxy_notify.redis_state.inbox import Logout, tell_logout
from galaxy_notify.redis_state.recent import is_application

#: No token is valid for longer: an hour, the largest ``realtime.jwt_leeway_ms`` on top of it, and
#: the same once more after its end.
KEPT_MS: Final = 3_600_000 + 2 * 300_000


class LoggedOut(NamedTuple):
    """What a logout did: how many instances hold streams of the user, and how many were told.

    An instance that was not told finds out with its next renewal of the presence.
    """

    instances: int
    told: int


def log_out(deployment: Deployment, user: str) -> LoggedOut:
    """End the streams of a user and refuse the tokens that were issued until now.

    Raises `RedisFault`, then nothing is known to be done; it may be repeated.
    """
    now_ms = server_now(deployment)
    key_space = deployment.key_space
    keys = key_space.keys_of_user(user)
    marks = [
        Command(["SET", keys.logout(user), str(now_ms), "PX", KEPT_MS]),
        # A ticket was issued to one of these tokens.
        Command(["DEL", keys.tickets(user)]),
    ]
    for reply in run_all_sync(deployment.client, marks):
        unwrap(reply)
    found = read_presence(deployment, user).instances
    # Connections of applications without an inbox are for those to end.
    instances = [one for one in found if not is_application(one.id)]
    logout = Logout(user, now_ms)
    calls = [tell_logout(key_space.prefix, instance.id, logout) for instance in instances]
    replies = run_all_sync(deployment.client, calls) if calls else []
    told = [reply for reply in replies if reply and not isinstance(reply, RedisFault)]
    return LoggedOut(len(instances), len(told))
