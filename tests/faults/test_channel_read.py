"""Row E7: a channel with `unless_read` sends while its users read."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from galaxy_notify.model.route import Status
from tests.faults.conftest import NewSendRun
from tests.faults.support.send_run import HOOKS, SendRun
from tests.support.delays import make_due
from tests.support.feed_store import FeedFixture, feed_on, new_item
from tests.support.postgres import Postgres

pytestmark = pytest.mark.extended

_FAR_MS = 86_400_000
_USERS = 60
#: A route is read at most so long after it is due: about as long as a daemon takes to send it.
_MOST_S = 0.02


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """Give the feed that the daemon asks."""
    with feed_on(postgres) as made:
        yield made


def _made(send_run: NewSendRun, feed: FeedFixture) -> tuple[SendRun, list[str]]:
    """Found a deployment in which a notification of each user is in the feed and waits to go out.

    Return the members of its routes.
    """
    one = send_run(
        {HOOKS: {"delay_ms": _FAR_MS, "unless_read": True}},
        worker__serves=[HOOKS],
        worker__channels=["in_app", "hooks", "mine"],
        feed__url=feed.postgres.url,
    )
    one.people(_USERS)
    members = []
    for user in one.users:
        made = one.deployment.notify(user, channels=["in_app", HOOKS])
        feed.insert(new_item(user, made))
        members.append(f"{made}/{HOOKS}:{user}")
    return one, members


def _read(feed: FeedFixture, member: str) -> None:
    made, _, route = member.partition("/")
    feed.run(feed.store.mark_read(route.partition(":")[2], [made]))


def test_rowe7__users_read_while_it_is_sent(send_run: NewSendRun, feed: FeedFixture) -> None:
    """What was read before is never sent; what is read in that moment, once or not at all."""
    one, members = _made(send_run, feed)
    before, racing = members[: _USERS // 3], members[_USERS // 3 :]
    for member in before:
        _read(feed, member)
    one.daemon().wait_for("daemon working")
    make_due(one.deployment, HOOKS, before)
    for member in racing:
        make_due(one.deployment, HOOKS, [member])
        threading.Event().wait(one.rng.random() * _MOST_S)
        _read(feed, member)
    one.wait_until_over()
    came = one.receiver.by_id()
    for member in members:
        route, requests = one.deployment.route(member), one.requests_of(member, came)
        if route.status is Status.SKIPPED:
            assert (route.history[-1].failure_class, len(requests)) == ("read", 0)
        else:
            assert member not in before
            assert (route.status, route.attempts, len(requests)) == (Status.DELIVERED, 0, 1)
    skipped = sum(one.status(member) is Status.SKIPPED for member in racing)
    one.figures.append(f"{len(racing)} read beside the send: {skipped} of them not sent")
