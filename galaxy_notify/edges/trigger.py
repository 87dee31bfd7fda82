"""`EdgeTrigger`: whether a value has just crossed a threshold, for all processes that watch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from galaxy_notify.edges.observation import EdgeTerms, observed
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.redis_client.access import REAL, Environment, settings_at
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.async_client import AsyncClient
from galaxy_notify.redis_state.client import SyncClient
from galaxy_notify.redis_state.edges import fire_flow

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

_NAME: Final = "EdgeTrigger"


class _Client(SyncClient):
    _owner = _NAME


class _AsyncClient(AsyncClient):
    _owner = f"Async{_NAME}"


class EdgeTrigger(NotCopied):
    """Says once that a value has gone above a threshold; safe to share between threads.

    The side on which each key was last is kept in Redis, so any number of processes may watch the
    same value: one of them fires.

    Every call ends within seconds. It raises `InvalidEdge`, which names the field; `Unavailable` if
    Redis is away, its subclass `ServerRefused` if Redis refuses writes at the moment,
    `Misconfigured` if an operator has to change something first, `ConfigurationError` if there is
    no deployment of this version, and `AlreadyClosed` after `close`.
    """

    def __init__(self, settings: Settings, *, environment: Environment = REAL) -> None:
        """Prepare to connect as *settings* say; the shards are read from the deployment."""
        self._client = _Client(settings, adopt=True, environment=environment)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return a trigger for the deployment at *url*; nothing is sent before the first call.

        Further arguments are settings of the section ``redis``, such as ``password``.
        """
        return cls(settings_at(url, prefix, redis))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fires(self, key: str, value: float | None = None, **terms: Unpack[EdgeTerms]) -> bool:
        """Return True if *value* has gone above the threshold with this call, else False.

        The edge goes above where *value* is *at* or more, and comes back, which is never True,
        where it is *clear* or less; *clear* is *at* where it is not given, and then comes back
        below *at*. In between it stays. A program that compares itself gives *above*, True or
        False, in place of *value*, *at* and *clear*. A key that was never seen is below.

        *cooldown_ms* (0 to 30 days): an edge that goes above again within this time after it fired
        does not fire, and not later either: it is above, and has to come back first.

        A call that is sent again after a lost reply is answered as the first time. After
        `Unavailable` it is unknown whether the edge has moved: to repeat such a call, give both the
        same *call_id*, 1 to 200 printable ASCII characters that no other call has.

        *key* is 1 to 200 printable ASCII characters. It is forgotten 30 days and its cooldown after
        its last call.
        """
        self._client.check_open()
        asked = observed(key, value, terms)
        try:
            return self._client.run_flow(fire_flow(self._client.key_space(), *asked))
        except RedisFault as error:
            raise failed_call(error) from error

    def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`."""
        self._client.close()


class AsyncEdgeTrigger(NotCopied):
    """`EdgeTrigger` for asyncio: the same promises, with await; safe to share between tasks."""

    def __init__(self, settings: Settings, *, environment: Environment = REAL) -> None:
        """Prepare to connect as *settings* say; the shards are read from the deployment."""
        self._client = _AsyncClient(settings, adopt=True, environment=environment)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return a trigger for the deployment at *url*; see `EdgeTrigger.from_url`."""
        return cls(settings_at(url, prefix, redis))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def fires(self, key: str, value: float | None = None, **terms: Unpack[EdgeTerms]) -> bool:
        """Return True if *value* has gone above with this call; see `EdgeTrigger.fires`."""
        self._client.check_open()
        asked = observed(key, value, terms)
        await self._client.turn()
        try:
            return await self._client.run_flow(fire_flow(await self._client.key_space(), *asked))
        except RedisFault as error:
            raise failed_call(error) from error

    async def close(self) -> None:
        """Close the connections; every later call raises `AlreadyClosed`."""
        await self._client.close()
