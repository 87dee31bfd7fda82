"""Users with their own feeds at a gateway: over HTTP, with the tokens that they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from galaxy_notify.feed import Feed
from tests.support.gateways import GatewayProcess, gateways_on, token
from tests.support.postgres import Postgres
from tests.support.servers import Server

PATH = "/v1/me/feed"
MARKS = ("read", "unread", "seen", "archive")


@dataclass(frozen=True)
class OwnFeed:
    """The feed of a user as a client of a gateway has it."""

    client: httpx.Client
    user: str

    def get(self, path: str = "", **query: Any) -> httpx.Response:
        """Ask for a page, or for another path below it."""
        return self.client.get(f"{PATH}{path}", params=query, headers=self.headers)

    def post(self, mark: str, body: Any) -> httpx.Response:
        """Mark items; the body is JSON."""
        return self.client.post(f"{PATH}/{mark}", json=body, headers=self.headers)

    def page(self, **query: Any) -> dict[str, Any]:
        """Return a page."""
        return self._document(self.get(**query))

    def items(self, **query: Any) -> list[dict[str, Any]]:
        """Return all items, over all pages."""
        found: list[dict[str, Any]] = []
        page = self.page(**query)
        found += page["items"]
        while page["next"] is not None:
            page = self.page(**query, cursor=page["next"])
            found += page["items"]
        return found

    def counts(self) -> dict[str, Any]:
        """Return the counts."""
        return self._document(self.get("/counts"))

    def mark(self, mark: str, *ids: Any) -> tuple[int, int]:
        """Mark items by their ids; return how many are unread and unseen."""
        return self._marked(mark, {"ids": list(ids)})

    def mark_all(self, mark: str, **until: str) -> tuple[int, int]:
        """Mark all items; return how many are unread and unseen."""
        return self._marked(mark, {"all": True, **until})

    def _marked(self, mark: str, body: Any) -> tuple[int, int]:
        counts = self._document(self.post(mark, body))
        return counts["unread"], counts["unseen"]

    @property
    def headers(self) -> dict[str, str]:
        """What a client of the user sends with each request."""
        return {"Authorization": f"Bearer {token(self.user)}"}

    @staticmethod
    def _document(answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        found: dict[str, Any] = answer.json()
        return found


@dataclass(frozen=True)
class FeedGateways:
    """Gateways of one deployment with a feed, and a program that publishes in it."""

    gateways: list[GatewayProcess]
    feed: Feed

    @contextmanager
    def own(self, user: str, at: int = 0) -> Iterator[OwnFeed]:
        """Open the feed of a user at one of the gateways."""
        with self.gateways[at].client() as client:
            yield OwnFeed(client, user)

    def publish(self, user: str, count: int = 1, **fields: Any) -> list[str]:
        """Publish notifications; return their ids, the newest first."""
        plain = {"type": "game.turn", "producer": "lobby", **fields}
        ids = [str(self.feed.publish(user, **plain).notification_id) for _ in range(count)]
        return ids[::-1]


@contextmanager
def feed_gateways(
    server: Server, postgres: Postgres, count: int = 1, **settings: Any
) -> Iterator[FeedGateways]:
    """Run gateways with a feed in a migrated database while the block runs."""
    given = {"feed__url": postgres.url, **settings}
    with (
        gateways_on(server, count, **given) as gateways,
        Feed.from_url(postgres.url, redis=server.url) as feed,
    ):
        yield FeedGateways(gateways, feed)
