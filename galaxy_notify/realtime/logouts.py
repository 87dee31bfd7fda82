"""Who was logged out: asked for each request that is no stream."""

from __future__ import annotations

from time import monotonic
from typing import Final

import redis.asyncio

from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.realtime.tokens import TokenUser
from galaxy_notify.redis_client.faults import BUSY, RedisFault
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.recent import read_logouts
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.web.problems import Problem, retry_after

#: Redis that did not answer is not asked for this long: nobody waits for it meanwhile.
_AWAY_S: Final = 1.0


class Logouts:
    """Knows which tokens are void; an outage of Redis keeps nobody from the feed in Postgres."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self._client = client
        self._key_space = key_space
        self._away_until = 0.0

    async def voids(self, user: TokenUser) -> bool:
        """Tell whether the user was logged out after the token was issued.

        While Redis is away no token counts as void. Raises a `Problem` where too many ask.
        """
        if monotonic() < self._away_until:
            return False
        try:
            return user.issued_at * 1000 <= await self._logged_out_ms(user.name)
        except RedisFault as error:
            if error.fault.code == BUSY:
                detail = "too many requests at the same time"
                raise Problem("busy", detail, (), retry_after(retry_ms())) from error
            self._away_until = monotonic() + _AWAY_S
            return False

    async def _logged_out_ms(self, user: str) -> int:
        key = self._key_space.keys_of_user(user).logout(user)
        (reply,) = await run_all(self._client, [Command(["MGET", key])])
        if isinstance(reply, RedisFault):
            raise reply
        (at_ms,) = read_logouts(reply)
        return at_ms
