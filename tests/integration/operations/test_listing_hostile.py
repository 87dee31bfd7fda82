"""The list where strangers have written, or what it names is gone."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.operations import listing
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import list_notifications
from tests.support.command import CommandLine
from tests.support.deployment import Deploy
from tests.support.intents import PLAIN
from tests.support.lists import ANY, ids, pages, some, told
from tests.support.servers import Server


def test_list__hostile_entries_name_nothing(any_server: Server, deploy: Deploy) -> None:
    """Strangers' entries are passed over, and a page goes on behind any number of them."""
    deployment = deploy(any_server, worker__shards=2)
    made = some(deployment, 6)
    bad: list[dict[Any, Any]] = [
        {"n": 1},
        {"ids": ""},
        {"ids": b"\xff " * 99},
        {"ids": "x" * 99_999},
    ]
    with deployment.client.pipeline(transaction=False) as pipeline:
        for keys in deployment.key_space.all_keys:
            for number in range(1_200):
                pipeline.xadd(keys.accepted, bad[number % len(bad)])
        pipeline.execute()
    newest = deployment.notify()
    read = list(pages(deployment, limit=5))
    listed = [item.listed.notification_id for page in read for item in page.items]
    assert listed[0] == newest
    assert sorted(listed) == sorted([newest, *made])
    assert len(read) > 2


def test_list__gets_on_whatever_was_read_before(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where strangers' entries alone are as many as a page looks at, it still ends further on."""
    monkeypatch.setattr(listing, "MOST_LOOKED", 1)
    deployment = deploy(server, worker__shards=4)
    made = some(deployment, 12)
    for number in range(40):
        deployment.client.xadd(deployment.key_space.keys(number % 4).accepted, {"n": number})
    made += some(deployment, 12)
    assert sorted(ids(deployment)) == sorted(made)


def test_list__goes_on_behind_an_entry_of_the_far_future(
    any_server: Server, deploy: Deploy
) -> None:
    """A stranger's time is no time of ours, but nothing is lost over it."""
    deployment = deploy(any_server, worker__shards=2)
    before = some(deployment, 4)
    for keys in deployment.key_space.all_keys:
        deployment.client.xadd(keys.accepted, {"ids": before[0]}, id=f"{2**63 + 5}-7")
    after = some(deployment, 4)
    assert set(ids(deployment, limit=1)) == {*before, *after}
    command = CommandLine(deployment.settings.redis.url, {"WORKER__SHARDS": "2"})
    assert command.run("list", "--since", "1h").exit_code == 0


def test_list__of_what_is_gone_passes_over_it(any_server: Server, deploy: Deploy) -> None:
    """What is listed still and has expired is not told of."""
    deployment = deploy(any_server, worker__shards=2)
    made = some(deployment, 10)
    for one in made[:7]:
        deployment.notifier.cancel(one)
        deployment.client.delete(deployment.key_space.keys_for(one).notification(one))
    deployment.whole = False
    assert sorted(ids(deployment, limit=2)) == sorted(made[7:])


def test_list__of_what_cannot_be_read_has_nulls(any_server: Server, deploy: Deploy) -> None:
    """A damaged record, or another key in its place, is told of by its id alone."""
    deployment = deploy(any_server)
    deployment.whole = False
    broken, foreign, fine = deployment.notify(), deployment.notify(), deployment.notify()
    deployment.client.hset(deployment.keys.notification(broken), "record", "rubbish")
    deployment.client.delete(deployment.keys.notification(foreign))
    deployment.client.set(deployment.keys.notification(foreign), "x")
    items = {one: told(deployment, one) for one in ids(deployment)}
    assert list(items) == [fine, foreign, broken]
    for one in (broken, foreign):
        kept = {"notification_id", "accepted_at_ms", "cancelled", "open", "states"}
        assert all(items[one][name] is None for name in items[one].keys() - kept)
    assert (items[broken]["open"], items[foreign]["open"]) == (1, None)
    assert ids(deployment, ListFilter(types=(str(PLAIN["type"]),))) == [fine]


def test_list__where_another_key_stands_leaves_that_shard_out(
    any_server: Server, deploy: Deploy
) -> None:
    """A stranger's key in the place of the list: accepting goes on, and the page says so."""
    deployment = deploy(any_server, worker__shards=3)
    first = deployment.key_space.keys(0)
    deployment.client.set(first.accepted, "foreign")
    made = some(deployment, 30)
    elsewhere = [one for one in made if deployment.key_space.keys_for(one) != first]
    page = list_notifications(deployment.connected, ANY)
    assert page.foreign == [first.accepted]
    assert sorted(item.listed.notification_id for item in page.items) == sorted(elsewhere)
    assert len(deployment.due()) == 30
