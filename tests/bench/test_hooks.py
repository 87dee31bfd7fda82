"""What the benchmark of webhooks posts and fills in."""

from __future__ import annotations

import asyncio
import json

from tests.bench.hooks.bare import body_of, post
from tests.bench.hooks.filled import HOSTS, USERS, Deployed
from tests.support.receiver_process import running_receiver
from tests.support.servers import Server


def test_bare__posts_each_once() -> None:
    """And one more for each endpoint, to connect."""
    with running_receiver(HOSTS) as receiver:
        urls = [receiver.url("/hook", host) for host in HOSTS]
        assert asyncio.run(post(40, 8, urls)) > 0
        found = receiver.by_id()
        assert (len(found), receiver.count()) == (40, 40 + len(urls))
    assert json.loads(body_of(7))["data"] == {"turn": 7}


def test_fill__gives_each_user_a_webhook(server: Server) -> None:
    """With an endpoint, which a daemon can decrypt."""
    with running_receiver() as receiver:
        place = Deployed(server.url, receiver)
        place.found()
        place.fill(3)
    with server.client() as client:
        assert client.zcard("{gn:0}:schedule:hooks") == 3
        assert len(client.keys("{gn:0}:contacts:*")) == USERS
