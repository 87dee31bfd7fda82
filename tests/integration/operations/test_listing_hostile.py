"""The list where strangers have written, or what it names is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.operations import listing
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import list_notifications
from tests.support.command import CommandLine
from tests.support.intents import PLAIN
from tests.support.lists import ANY, ids, pages, some, told
from tests.support.servers import Server
from tests.support.site import Site

Found = Callable[..., Site]


def test_list__hostile_entries_name_nothing(any_server: Server, found: Found) -> None:
    """Strangers' entries are passed over, and a page goes on behind any number of them."""
    site = found(any_server, worker__shards=2)
    made = some(site, 6)
    bad: list[dict[Any, Any]] = [
        {"n": 1},
        {"ids": ""},
        {"ids": b"\xff " * 99},
        {"ids": "x" * 99_999},
    ]
    with site.client.pipeline(transaction=False) as pipeline:
        for keys in site.key_space.all_keys:
            for number in range(1_200):
                pipeline.xadd(keys.accepted, bad[number % len(bad)])
        pipeline.execute()
    newest = site.notify()
    read = list(pages(site, limit=5))
    listed = [item.listed.notification_id for page in read for item in page.items]
    assert listed[0] == newest
    assert sorted(listed) == sorted([newest, *made])
    assert len(read) > 2


def test_list__gets_on_whatever_was_read_before(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where strangers' entries alone are as many as a page looks at, it still ends further on."""
    monkeypatch.setattr(listing, "MOST_LOOKED", 1)
    site = found(server, worker__shards=4)
    made = some(site, 12)
    for number in range(40):
        site.client.xadd(site.key_space.keys(number % 4).accepted, {"n": number})
    made += some(site, 12)
    assert sorted(ids(site)) == sorted(made)


def test_list__goes_on_behind_an_entry_of_the_far_future(any_server: Server, found: Found) -> None:
    """A stranger's time is no time of ours, but nothing is lost over it."""
    site = found(any_server, worker__shards=2)
    before = some(site, 4)
    for keys in site.key_space.all_keys:
        site.client.xadd(keys.accepted, {"ids": before[0]}, id=f"{2**63 + 5}-7")
    after = some(site, 4)
    assert set(ids(site, limit=1)) == {*before, *after}
    command = CommandLine(site.settings.redis.url, {"WORKER__SHARDS": "2"})
    assert command.run("list", "--since", "1h").exit_code == 0


def test_list__of_what_is_gone_passes_over_it(any_server: Server, found: Found) -> None:
    """What is listed still and has expired is not told of."""
    site = found(any_server, worker__shards=2)
    made = some(site, 10)
    for one in made[:7]:
        site.notifier.cancel(one)
        site.client.delete(site.key_space.keys_for(one).notification(one))
    site.whole = False
    assert sorted(ids(site, limit=2)) == sorted(made[7:])


def test_list__of_what_cannot_be_read_has_nulls(any_server: Server, found: Found) -> None:
    """A damaged record, or another key in its place, is told of by its id alone."""
    site = found(any_server)
    site.whole = False
    broken, foreign, fine = site.notify(), site.notify(), site.notify()
    site.client.hset(site.keys.notification(broken), "record", "rubbish")
    site.client.delete(site.keys.notification(foreign))
    site.client.set(site.keys.notification(foreign), "x")
    items = {one: told(site, one) for one in ids(site)}
    assert list(items) == [fine, foreign, broken]
    for one in (broken, foreign):
        kept = {"notification_id", "accepted_at_ms", "cancelled", "open", "states"}
        assert all(items[one][name] is None for name in items[one].keys() - kept)
    assert (items[broken]["open"], items[foreign]["open"]) == (1, None)
    assert ids(site, ListFilter(types=(str(PLAIN["type"]),))) == [fine]


def test_list__where_another_key_stands_leaves_that_shard_out(
    any_server: Server, found: Found
) -> None:
    """A stranger's key in the place of the list: accepting goes on, and the page says so."""
    site = found(any_server, worker__shards=3)
    first = site.key_space.keys(0)
    site.client.set(first.accepted, "foreign")
    made = some(site, 30)
    elsewhere = [one for one in made if site.key_space.keys_for(one) != first]
    page = list_notifications(site.deployment, ANY)
    assert page.foreign == [first.accepted]
    assert sorted(item.listed.notification_id for item in page.items) == sorted(elsewhere)
    assert len(site.due()) == 30
