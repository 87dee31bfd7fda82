"""The list of what was accepted: the newest first, page by page, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.operations import listing
from galaxy_notify.operations.list_filter import STATES, ListFilter
from galaxy_notify.operations.listing import Page, list_flow, list_notifications
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow
from tests.support.intents import PLAIN
from tests.support.lists import ANY, ids, pages, some, told
from tests.support.servers import Server
from tests.support.site import Site

Found = Callable[..., Site]
HOUR = 3_600_000


def fail(_: Notification, __: Route) -> bytes:
    raise ValueError("broken")


@pytest.mark.parametrize("shards", [1, 5])
def test_list__has_everything_once_the_newest_first(
    shards: int, any_server: Server, found: Found
) -> None:
    """The order is that of accept, the same at any length of the pages."""
    site = found(any_server, worker__shards=shards)
    made = some(site, 60)
    everything = ids(site)
    assert sorted(everything) == sorted(made)
    times = [item.listed.position for page in pages(site) for item in page.items]
    assert times == sorted(times, reverse=True)
    for limit in (1, 7, 59, 60):
        assert ids(site, limit=limit) == everything
    if shards == 1:
        assert everything[30:] == made[29::-1]


def test_list__pages_do_not_shift(any_server: Server, found: Found) -> None:
    """What is accepted or goes between two pages neither repeats nor hides what stays."""
    site = found(any_server, worker__shards=3)
    before, seen, new, gone = some(site, 40), list[str](), list[str](), set[str]()
    for page in pages(site, limit=6):
        seen += [item.listed.notification_id for item in page.items]
        new.append(site.notify())
        lost = next((one for one in before if one not in seen and one not in gone), "")
        if lost:
            gone.add(lost)
            site.notifier.cancel(lost)
            site.client.delete(site.key_space.keys_for(lost).notification(lost))
        site.station().trim_list(len(seen) % 3)
    site.whole = False
    assert len(seen) == len(set(seen))
    assert set(before) - gone <= set(seen)
    assert not set(new) & set(seen)
    assert len(gone) > 3


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_list__of_one_millisecond_has_everything_once(
    most: int, server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that accepted at the same time come one after the other, at any length of pages."""
    monkeypatch.setattr(listing, "MOST_LOOKED", most)
    site = found(server, worker__shards=3)
    made = some(site, 36)
    for keys in site.key_space.all_keys:
        site.client.delete(keys.accepted)
    for number, one in enumerate(made):
        keys, ms = site.key_space.keys_for(one), 10**12 + number // 24
        site.client.xadd(keys.accepted, {"ids": one}, id=f"{ms}-{number}")
    everything = ids(site)
    assert sorted(everything) == sorted(made)
    for limit in (1, 2, 5):
        assert ids(site, limit=limit) == everything
    assert set(ids(site, ListFilter(until_ms=10**12), limit=3)) == set(made[:24])
    assert set(ids(site, ListFilter(since_ms=10**12 + 1), limit=3)) == set(made[24:])


def test_list__tells_of_each(any_server: Server, found: Found) -> None:
    """What was asked for, what is open, and whether it was taken back or moved."""
    site = found(any_server)
    due, end = site.now() + HOUR, site.now() + 2 * HOUR
    made = site.notify("u1", "u2", severity="warning", due_at=due, expires_at=end)
    item = told(site, made)
    assert (item["type"], item["producer"]) == (PLAIN["type"], PLAIN["producer"])
    assert (item["severity"], item["due_at_ms"], item["expires_at_ms"]) == ("warning", due, end)
    assert (item["routes"], item["open"], item["parts"]) == (2, 2, 1)
    assert abs(item["accepted_at_ms"] - item["created_at_ms"]) < 5_000
    assert item["cancelled"] is False
    site.notifier.reschedule(made, due + 1)
    assert told(site, made)["due_at_ms"] == due + 1
    site.notifier.reschedule(made, due + 2, route="push:u1")
    assert told(site, made)["due_at_ms"] == due + 1
    site.notifier.cancel(made)
    assert (told(site, made)["cancelled"], told(site, made)["open"]) == (True, 0)


def test_list__cancelled_stays_cancelled(any_server: Server, found: Found) -> None:
    """What was taken back stays listed as such, whatever is tried with it afterwards."""
    site = found(any_server)
    later = site.now() + HOUR
    keyed = {**PLAIN, "idempotency_key": "k", "due_at": later}
    made = site.notifier.accept(keyed).notification_id or ""
    site.notifier.cancel(made)
    assert site.notifier.accept(keyed).status == "duplicate"
    assert site.notifier.reschedule(made, site.now()).too_late == 1
    assert site.station().step() == 0
    assert told(site, made)["cancelled"]
    assert ids(site, ListFilter(states=("cancelled",))) == [made]
    assert ids(site, ListFilter(states=("open",))) == []


def test_list__filters_by_state(any_server: Server, found: Found) -> None:
    """Each status, and open for all that still needs its notification; several mean any."""
    site = found(any_server, worker__shards=2)
    dead, published = site.notify("u1"), site.notify("u2")
    site.notifier.reschedule(published, site.now() + HOUR)
    for shard in (0, 1):
        site.station(fail).step(shard)
    site.notifier.reschedule(published, site.now())
    for shard in (0, 1):
        site.station().step(shard)
    pending, cancelled = site.notify("u3", due_at=site.now() + HOUR), site.notify("u4")
    site.notifier.cancel(cancelled)
    by_state = {state: set(ids(site, ListFilter(states=(state,)))) for state in STATES}
    assert by_state.pop("open") == {dead, pending}
    assert {state: one for state, one in by_state.items() if one} == {
        "pending": {pending},
        "published": {published},
        "dead_letter": {dead},
        "cancelled": {cancelled},
    }
    assert set(ids(site, ListFilter(states=("cancelled", "open")))) == {cancelled, dead, pending}


def test_list__filters_by_type_producer_and_time(any_server: Server, found: Found) -> None:
    """Filters narrow together; the times are those of accept, both included."""
    site = found(any_server, worker__shards=3)
    made = [site.notify(type=f"t{n % 2}", producer=f"p{n % 3}") for n in range(12)]
    assert set(ids(site, ListFilter(types=("t1",)))) == set(made[1::2])
    both = ListFilter(types=("t0", "t1"), producers=("p0", "p2"))
    assert len(ids(site, both, limit=3)) == 8
    at = {one: told(site, one)["accepted_at_ms"] for one in made}
    since, until = at[made[3]], at[made[8]]
    expected = {one for one in made if since <= at[one] <= until}
    assert set(ids(site, ListFilter(since_ms=since, until_ms=until), limit=2)) == expected
    assert ids(site, ListFilter(since_ms=max(at.values()) + 1)) == []
    assert ids(site, ListFilter(until_ms=min(at.values()) - 1)) == []


def test_list__filters_by_user(any_server: Server, found: Found) -> None:
    """By any channel, in any part; with a state it is the user's own that counts."""
    site = found(any_server, worker__shards=3, worker__channels=["push", "email"])
    large = site.notify(*(f"u{n:04}" for n in range(2500)))
    mailed = site.notify("u2400", "u9", channels=["email"])
    site.notify("u9")
    assert ids(site, ListFilter(user="u2400")) == [mailed, large]
    site.notifier.cancel(large, route="push:u2400")
    assert ids(site, ListFilter(user="u2400", states=("cancelled",))) == [large]
    assert ids(site, ListFilter(user="u2400", states=("open",))) == [mailed]
    assert ids(site, ListFilter(user="nobody")) == []


def test_list__bounds_what_a_page_looks_at(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that hardly matches gives short and empty pages, and a cursor to the end."""
    monkeypatch.setattr(listing, "MOST_LOOKED", 10)
    site = found(server, worker__shards=2)
    some(site, 40)
    rare = site.notify(type="rare")
    some(site, 25)
    read = list(pages(site, ListFilter(types=("rare",))))
    assert [item.listed.notification_id for page in read for item in page.items] == [rare]
    assert 6 <= len(read) <= 8
    assert all(page.cursor for page in read[:-1])


def test_list__bounds_the_statuses_that_a_page_reads(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large notifications make pages shorter, never incomplete."""
    monkeypatch.setattr(listing, "_MOST_ROUTES", 1500)
    site = found(server)
    made = [site.notify(*(f"u{n}" for n in range(700))) for _ in range(5)]
    read = list(pages(site, ListFilter(states=("pending",))))
    assert [len(page.items) for page in read] == [3, 2]
    assert [item.listed.notification_id for page in read for item in page.items] == made[::-1]


@pytest.mark.parametrize("limit", [0, -1, 101, 10**9])
def test_list__refuses_another_limit(limit: int, server: Server, found: Found) -> None:
    """One clear error that names the field and the bounds."""
    with pytest.raises(InvalidQuery, match=r"^limit: must be a whole number from 1 to 100$"):
        list_notifications(found(server).deployment, ANY, limit)


def test_list__of_nothing_is_empty(any_server: Server, found: Found) -> None:
    """Where nothing was accepted there is one empty page."""
    assert list_notifications(found(any_server, worker__shards=7).deployment, ANY) == Page()


def test_list__reads_alike_in_asyncio(any_server: Server, found: Found) -> None:
    """The same flow serves the command line and whoever has an event loop."""
    site = found(any_server, worker__shards=2)
    some(site, 10)

    async def read() -> Page:
        client = open_async(site.settings)
        try:
            return await run_flow(client, list_flow(site.key_space, ANY, 4))
        finally:
            await client.aclose()

    assert asyncio.run(read()) == list_notifications(site.deployment, ANY, 4)
