"""The words that a list says of a notification are true for each of its routes."""

from __future__ import annotations

import pytest

from galaxy_notify.operations import listing
from galaxy_notify.operations.list_filter import STATES, ListFilter
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.lists import ids, pages, told
from tests.support.servers import Server

HOUR = 3_600_000


def words(deployment: DeploymentFixture, made: str) -> tuple[str | None, bool, dict[str, int]]:
    """Return what is said of the whole, and of its routes."""
    item = told(deployment, made)
    return item["state"], item["cancelled"], item["states"]


def publish(deployment: DeploymentFixture) -> None:
    """Publish what is due on every shard."""
    for shard in range(deployment.key_space.shared.shards):
        deployment.worker_harness().step(shard)


def test_list__cancel_that_came_too_late(any_server: Server, deploy: Deploy) -> None:
    """What was published is not called cancelled, whatever was tried afterwards."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2")
    publish(deployment)
    done = deployment.notifier.cancel(made)
    assert (done.cancelled, done.too_late) == (0, 2)
    assert words(deployment, made) == ("published", False, {"published": 2})
    assert ids(deployment, ListFilter(states=("cancelled",))) == []


def test_list__of_routes_that_differ_is_mixed(any_server: Server, deploy: Deploy) -> None:
    """One word stands for all routes or says that they differ; a filter finds each of them."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2", "u3")
    deployment.notifier.reschedule(made, deployment.now() + HOUR, route="push:u1")
    publish(deployment)
    deployment.notifier.cancel(made)
    counts = {"published": 2, "cancelled": 1}
    assert words(deployment, made) == ("mixed", False, counts)
    found_by = {state for state in STATES if ids(deployment, ListFilter(states=(state,)))}
    assert found_by == set(counts)
    page = next(pages(deployment, ListFilter(user="u1")))
    assert [item.state for item in page.items] == ["cancelled"]


def test_list__adds_up_all_parts(any_server: Server, deploy: Deploy) -> None:
    """A part that stands elsewhere than the first one counts as much, also for a filter."""
    deployment = deploy(any_server, worker__shards=2, limits__max_routes=2)
    made = deployment.notify(*(f"u{n}" for n in range(7)), due_at=deployment.now() + HOUR)
    assert words(deployment, made) == ("pending", False, {"pending": 7})
    assert (told(deployment, made)["routes"], told(deployment, made)["open"]) == (7, 7)
    deployment.notifier.cancel(made, route="push:u0")
    deployment.notifier.cancel(made, route="push:u1")
    assert words(deployment, made) == ("mixed", False, {"pending": 5, "cancelled": 2})
    assert ids(deployment, ListFilter(states=("pending",))) == [made]
    assert ids(deployment, ListFilter(states=("open",))) == [made]
    deployment.notifier.cancel(made)
    assert words(deployment, made) == ("cancelled", True, {"cancelled": 7})


def test_list__says_no_word_for_parts_that_it_did_not_read(
    server: Server, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a notification is larger than what a page reads, the whole has no word."""
    monkeypatch.setattr(listing, "_MOST_ROUTES", 4)
    deployment = deploy(server, limits__max_routes=2)
    made = deployment.notify(*(f"u{n}" for n in range(7)), due_at=deployment.now() + HOUR)
    deployment.notifier.cancel(made)
    assert words(deployment, made) == (None, False, {"cancelled": 4})
