"""What an endpoint depends on: the state of the server, and a caller who may come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import Scope

from galaxy_notify.channels.webhook_trials import WebhookTrials
from galaxy_notify.feed.opening import open_feed
from galaxy_notify.feed.retractor import Retractor
from galaxy_notify.http.auth import Authenticator, Client, forbidden
from galaxy_notify.http.metrics import Metrics
from galaxy_notify.http.pools import BlockingPools
from galaxy_notify.http.responses import not_valid, unavailable
from galaxy_notify.http.workers import Worker
from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake.planner import Planner
from galaxy_notify.model.json_data import printable
from galaxy_notify.process.closing import close_soon
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.telemetry.prometheus import Scraped
from galaxy_notify.web.problems import Problem, fault

if TYPE_CHECKING:
    # It needs psycopg, and a deployment may have no feed.
    from galaxy_notify.feed.async_feed import AsyncFeed

#: The channel in a metric where the recipients choose, or the request names none.
ANY_CHANNEL: Final = "any"
#: More than every filter as often as it may be given.
MOST_PARAMETERS: Final = 128
#: Filters that may be given several times.
_MANY: Final = frozenset({"state", "type", "producer", "channel", "class"})
_COUNTED: Final = "galaxy_notify.counted"
#: One place in this many is kept for operators.
_RESERVED: Final = 8


class RequestLimit:
    """Counts requests in hand, from their arrival to their answer; keeps places for operators."""

    def __init__(self, most: int) -> None:
        """Allow *most* requests at a time, all but an eighth of them to any caller."""
        self._most = most
        self._most_unreserved = max(1, most - most // _RESERVED)
        self._in_hand = 0
        self._unreserved = 0

    def enter(self) -> None:
        """Count a request whose caller is not known yet."""
        self._in_hand += 1

    def leave(self, scope: Scope) -> None:
        """Forget a request that was answered."""
        self._in_hand -= 1
        self._unreserved -= scope["state"].get(_COUNTED, 0)

    @property
    def refusal(self) -> Problem | None:
        """Return why the request that just came in is not served, if it is not."""
        return _busy(self._most) if self._in_hand > self._most else None

    def admit(self, scope: Scope, *, reserved: bool) -> None:
        """Give the caller a place, a *reserved* one or not; raise a `Problem` (503)."""
        if reserved:
            return
        if self._unreserved >= self._most_unreserved:
            raise _busy(self._most_unreserved)
        scope["state"][_COUNTED] = 1
        self._unreserved += 1


def _postgres_log() -> EdgeLog:
    return EdgeLog(get_logger("http"), "postgres unavailable", "postgres available again")


@dataclass(frozen=True)
class AppState:
    """What all requests to one server share."""

    settings: Settings
    notifier: AsyncNotifier
    pools: BlockingPools
    telemetry: Telemetry
    metrics: Metrics
    authenticator: Authenticator
    limit: RequestLimit
    retractor: Retractor
    #: None where the deployment has no feed.
    feed: AsyncFeed | None
    #: Tries endpoints of users.
    trials: WebhookTrials
    #: Parses what takes long to parse.
    parser: Planner = field(default_factory=Planner)
    #: Logs when calls of the feed begin to fail, and when they work again.
    postgres: EdgeLog = field(default_factory=_postgres_log)

    @classmethod
    def open(cls, settings: Settings, scraped: Scraped, worker: Worker | None = None) -> AppState:
        """Return the state of a new server; nothing is sent before its first request.

        Raises `ConfigurationError` for a key of ``http`` that cannot be used, and where there is a
        feed and its extra is not installed.
        """
        authenticator = Authenticator(settings.http)
        limit = RequestLimit(settings.http.max_requests)
        notifier, pools = AsyncNotifier(settings), BlockingPools(settings)
        metrics = Metrics(scraped, worker)
        feed, telemetry = open_feed(settings), scraped.telemetry
        # Over the connections of the feed, which are closed with it.
        retractor = feed.retractor if feed else Retractor.open(settings)
        shared = (notifier, pools, telemetry, metrics, authenticator, limit, retractor, feed)
        return cls(settings, *shared, WebhookTrials(settings))

    async def close(self) -> None:
        self.metrics.close()
        self.trials.close()
        await self.notifier.close()
        # A stop does not wait for a Postgres that is frozen.
        await close_soon(self.retractor)
        self.pools.close()


def state_of(request: Request) -> AppState:
    state: AppState = request.app.state.server
    return state


def needs(*scopes: str) -> Callable[[Request], Awaitable[Client]]:
    """Return the dependency that admits only callers with one of these scopes."""

    async def admitted(request: Request) -> Client:
        state = state_of(request)
        client = state.authenticator.authenticate(request.headers.get("authorization"))
        request.state.client = client.name
        if not client.may(*scopes):
            raise forbidden(client, scopes)
        if request.scope["query_string"]:
            _check_query(request.query_params)
        state.limit.admit(request.scope, reserved="operator" in client.scopes)
        return client

    return admitted


producer: Final = needs("producer")

# Who may call an endpoint.
Producer = Annotated[Client, Depends(producer)]
Reader = Annotated[Client, Depends(needs("read-only"))]
Operator = Annotated[Client, Depends(needs("operator"))]
ProducerOrReader = Annotated[Client, Depends(needs("producer", "read-only"))]
ProducerOrOperator = Annotated[Client, Depends(needs("producer", "operator"))]


def _check_query(given: QueryParams) -> None:
    """Refuse too many parameters, and a second value of one that has a single value."""
    names = Counter(name for name, _ in given.multi_items())
    if names.total() > MOST_PARAMETERS:
        message = f"has more than {MOST_PARAMETERS} parameters"
        raise Problem("invalid", f"the query {message}", [fault("", message)])
    for name, times in names.items():
        if name not in _MANY and times > 1:
            raise not_valid(printable(name), "is given twice")


def _busy(most: int) -> Problem:
    return unavailable(f"{most} requests are already in progress", "busy")
