"""The list of what was accepted: the newest first, page by page, whatever happens meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.operations import listing
from galaxy_notify.operations.list_filter import STATES, ListFilter
from galaxy_notify.operations.listing import Page, list_flow, list_notifications
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.lists import ANY, ids, pages, some, told
from tests.support.servers import Server
from tests.support.wait import wait_until

HOUR = 3_600_000


def fail(_: Notification, __: Route) -> bytes:
    raise ValueError("broken")


@pytest.mark.parametrize("shards", [1, 5])
def test_list__has_everything_once_the_newest_first(
    shards: int, any_server: Server, deploy: Deploy
) -> None:
    """The order is that of accept, the same at any length of the pages."""
    deployment = deploy(any_server, worker__shards=shards)
    made = some(deployment, 60)
    everything = ids(deployment)
    assert sorted(everything) == sorted(made)
    times = [item.listed.position for page in pages(deployment) for item in page.items]
    assert times == sorted(times, reverse=True)
    for limit in (1, 7, 59, 60):
        assert ids(deployment, limit=limit) == everything
    if shards == 1:
        assert everything[30:] == made[29::-1]


def test_list__pages_do_not_shift(any_server: Server, deploy: Deploy) -> None:
    """What is accepted or goes between two pages neither repeats nor hides what stays."""
    deployment = deploy(any_server, worker__shards=3)
    before, seen, new, gone = some(deployment, 40), list[str](), list[str](), set[str]()
    # Within a millisecond the order is that of the shards: what is new is to be newer.
    accepted = deployment.now()
    wait_until(lambda: deployment.now() > accepted, "the next millisecond has begun")
    for page in pages(deployment, limit=6):
        seen += [item.listed.notification_id for item in page.items]
        new.append(deployment.notify())
        lost = next((one for one in before if one not in seen and one not in gone), "")
        if lost:
            gone.add(lost)
            deployment.notifier.cancel(lost)
            deployment.client.delete(deployment.key_space.keys_for(lost).notification(lost))
        deployment.worker_harness().trim_list(len(seen) % 3)
    deployment.whole = False
    assert len(seen) == len(set(seen))
    assert set(before) - gone <= set(seen)
    assert not set(new) & set(seen)
    assert len(gone) > 3


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_list__of_one_millisecond_has_everything_once(
    most: int, server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that accepted at the same time come one after the other, at any length of pages."""
    monkeypatch.setattr(listing, "MOST_LOOKED", most)
    deployment = deploy(server, worker__shards=3)
    made = some(deployment, 36)
    for keys in deployment.key_space.all_keys:
        deployment.client.delete(keys.accepted)
    for number, one in enumerate(made):
        keys, ms = deployment.key_space.keys_for(one), 10**12 + number // 24
        deployment.client.xadd(keys.accepted, {"ids": one}, id=f"{ms}-{number}")
    everything = ids(deployment)
    assert sorted(everything) == sorted(made)
    for limit in (1, 2, 5):
        assert ids(deployment, limit=limit) == everything
    assert set(ids(deployment, ListFilter(until_ms=10**12), limit=3)) == set(made[:24])
    assert set(ids(deployment, ListFilter(since_ms=10**12 + 1), limit=3)) == set(made[24:])


def test_list__tells_of_each(any_server: Server, deploy: Deploy) -> None:
    """What was asked for, what is open, and whether it was taken back or moved."""
    deployment = deploy(any_server)
    due, end = deployment.now() + HOUR, deployment.now() + 2 * HOUR
    made = deployment.notify("u1", "u2", severity="warning", due_at=due, expires_at=end)
    item = told(deployment, made)
    assert (item["type"], item["producer"]) == (PLAIN["type"], PLAIN["producer"])
    assert (item["severity"], item["due_at_ms"], item["expires_at_ms"]) == ("warning", due, end)
    assert (item["routes"], item["open"], item["parts"]) == (2, 2, 1)
    assert abs(item["accepted_at_ms"] - item["created_at_ms"]) < 60_000
    assert item["cancelled"] is False
    deployment.notifier.reschedule(made, due + 1)
    assert told(deployment, made)["due_at_ms"] == due + 1
    deployment.notifier.reschedule(made, due + 2, route="push:u1")
    assert told(deployment, made)["due_at_ms"] == due + 1
    deployment.notifier.cancel(made)
    assert (told(deployment, made)["cancelled"], told(deployment, made)["open"]) == (True, 0)


def test_list__cancelled_stays_cancelled(any_server: Server, deploy: Deploy) -> None:
    """What was taken back stays listed as such, whatever is tried with it afterwards."""
    deployment = deploy(any_server)
    later = deployment.now() + HOUR
    keyed = {**PLAIN, "idempotency_key": "k", "due_at": later}
    made = deployment.notifier.accept(keyed).notification_id or ""
    deployment.notifier.cancel(made)
    assert deployment.notifier.accept(keyed).status == "duplicate"
    assert deployment.notifier.reschedule(made, deployment.now()).too_late == 1
    assert deployment.worker_harness().step() == 0
    assert told(deployment, made)["cancelled"]
    assert ids(deployment, ListFilter(states=("cancelled",))) == [made]
    assert ids(deployment, ListFilter(states=("open",))) == []


def test_list__filters_by_state(any_server: Server, deploy: Deploy) -> None:
    """Each status, and open for all that still needs its notification; several mean any."""
    deployment = deploy(any_server, worker__shards=2)
    dead, published = deployment.notify("u1"), deployment.notify("u2")
    deployment.notifier.reschedule(published, deployment.now() + HOUR)
    for shard in (0, 1):
        deployment.worker_harness(fail).step(shard)
    deployment.notifier.reschedule(published, deployment.now())
    for shard in (0, 1):
        deployment.worker_harness().step(shard)
    pending, cancelled = (
        deployment.notify("u3", due_at=deployment.now() + HOUR),
        deployment.notify("u4"),
    )
    deployment.notifier.cancel(cancelled)
    by_state = {state: set(ids(deployment, ListFilter(states=(state,)))) for state in STATES}
    assert by_state.pop("open") == {dead, pending}
    assert {state: one for state, one in by_state.items() if one} == {
        "pending": {pending},
        "published": {published},
        "dead_letter": {dead},
        "cancelled": {cancelled},
    }
    assert set(ids(deployment, ListFilter(states=("cancelled", "open")))) == {
        cancelled,
        dead,
        pending,
    }


def test_list__filters_by_type_producer_and_time(any_server: Server, deploy: Deploy) -> None:
    """Filters narrow together; the times are those of accept, both included."""
    deployment = deploy(any_server, worker__shards=3)
    made = [deployment.notify(type=f"t{n % 2}", producer=f"p{n % 3}") for n in range(12)]
    assert set(ids(deployment, ListFilter(types=("t1",)))) == set(made[1::2])
    both = ListFilter(types=("t0", "t1"), producers=("p0", "p2"))
    assert len(ids(deployment, both, limit=3)) == 8
    at = {one: told(deployment, one)["accepted_at_ms"] for one in made}
    since, until = at[made[3]], at[made[8]]
    expected = {one for one in made if since <= at[one] <= until}
    assert set(ids(deployment, ListFilter(since_ms=since, until_ms=until), limit=2)) == expected
    assert ids(deployment, ListFilter(since_ms=max(at.values()) + 1)) == []
    assert ids(deployment, ListFilter(until_ms=min(at.values()) - 1)) == []


def test_list__filters_by_user(any_server: Server, deploy: Deploy) -> None:
    """By any channel, in any part; with a state it is the user's own that counts."""
    deployment = deploy(any_server, worker__shards=3, worker__channels=["push", "email"])
    large = deployment.notify(*(f"u{n:04}" for n in range(2500)))
    mailed = deployment.notify("u2400", "u9", channels=["email"])
    deployment.notify("u9")
    assert ids(deployment, ListFilter(user="u2400")) == [mailed, large]
    deployment.notifier.cancel(large, route="push:u2400")
    assert ids(deployment, ListFilter(user="u2400", states=("cancelled",))) == [large]
    assert ids(deployment, ListFilter(user="u2400", states=("open",))) == [mailed]
    assert ids(deployment, ListFilter(user="nobody")) == []


def test_list__bounds_what_a_page_looks_at(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that hardly matches gives short and empty pages, and a cursor to the end."""
    monkeypatch.setattr(listing, "MOST_LOOKED", 10)
    deployment = deploy(server, worker__shards=2)
    some(deployment, 40)
    rare = deployment.notify(type="rare")
    some(deployment, 25)
    read = list(pages(deployment, ListFilter(types=("rare",))))
    assert [item.listed.notification_id for page in read for item in page.items] == [rare]
    assert 6 <= len(read) <= 8
    assert all(page.cursor for page in read[:-1])


def test_list__bounds_the_statuses_that_a_page_reads(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large notifications make pages shorter, never incomplete."""
    monkeypatch.setattr(listing, "_MOST_ROUTES", 1500)
    deployment = deploy(server)
    made = [deployment.notify(*(f"u{n}" for n in range(700))) for _ in range(5)]
    read = list(pages(deployment, ListFilter(states=("pending",))))
    assert [len(page.items) for page in read] == [3, 2]
    assert [item.listed.notification_id for page in read for item in page.items] == made[::-1]


@pytest.mark.parametrize("limit", [0, -1, 101, 10**9])
def test_list__refuses_another_limit(limit: int, server: Server, deploy: Deploy) -> None:
    """One clear error that names the field and the bounds."""
    with pytest.raises(InvalidQuery, match=r"^limit: must be a whole number from 1 to 100$"):
        list_notifications(deploy(server).connected, ANY, limit)


def test_list__of_nothing_is_empty(any_server: Server, deploy: Deploy) -> None:
    """Where nothing was accepted there is one empty page."""
    assert list_notifications(deploy(any_server, worker__shards=7).connected, ANY) == Page()


def test_list__reads_alike_in_asyncio(any_server: Server, deploy: Deploy) -> None:
    """The same flow serves the command line and whoever has an event loop."""
    deployment = deploy(any_server, worker__shards=2)
    some(deployment, 10)

    async def read() -> Page:
        client = open_async(deployment.settings)
        try:
            return await run_flow(client, list_flow(deployment.key_space, ANY, 4))
        finally:
            await client.aclose()

    assert asyncio.run(read()) == list_notifications(deployment.connected, ANY, 4)
