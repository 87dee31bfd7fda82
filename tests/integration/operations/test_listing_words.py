"""The words that a list says of a notification are true for each of its routes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from galaxy_notify.operations import listing
from galaxy_notify.operations.list_filter import STATES, ListFilter
from tests.support.lists import ids, pages, told
from tests.support.servers import Server
from tests.support.site import Site

Found = Callable[..., Site]
HOUR = 3_600_000


def words(site: Site, made: str) -> tuple[str | None, bool, dict[str, int]]:
    """Return what is said of the whole, and of its routes."""
    item = told(site, made)
    return item["state"], item["cancelled"], item["states"]


def publish(site: Site) -> None:
    """Publish what is due on every shard."""
    for shard in range(site.key_space.shared.shards):
        site.station().step(shard)


def test_list__cancel_that_came_too_late(any_server: Server, found: Found) -> None:
    """What was published is not called cancelled, whatever was tried afterwards."""
    site = found(any_server)
    made = site.notify("u1", "u2")
    publish(site)
    done = site.notifier.cancel(made)
    assert (done.cancelled, done.too_late) == (0, 2)
    assert words(site, made) == ("published", False, {"published": 2})
    assert ids(site, ListFilter(states=("cancelled",))) == []


def test_list__of_routes_that_differ_is_mixed(any_server: Server, found: Found) -> None:
    """One word stands for all routes or says that they differ; a filter finds each of them."""
    site = found(any_server)
    made = site.notify("u1", "u2", "u3")
    site.notifier.reschedule(made, site.now() + HOUR, route="push:u1")
    publish(site)
    site.notifier.cancel(made)
    counts = {"published": 2, "cancelled": 1}
    assert words(site, made) == ("mixed", False, counts)
    found_by = {state for state in STATES if ids(site, ListFilter(states=(state,)))}
    assert found_by == set(counts)
    page = next(pages(site, ListFilter(user="u1")))
    assert [item.state for item in page.items] == ["cancelled"]


def test_list__adds_up_all_parts(any_server: Server, found: Found) -> None:
    """A part that stands elsewhere than the first one counts as much, also for a filter."""
    site = found(any_server, worker__shards=2, limits__max_routes=2)
    made = site.notify(*(f"u{n}" for n in range(7)), due_at=site.now() + HOUR)
    assert words(site, made) == ("pending", False, {"pending": 7})
    assert (told(site, made)["routes"], told(site, made)["open"]) == (7, 7)
    site.notifier.cancel(made, route="push:u0")
    site.notifier.cancel(made, route="push:u1")
    assert words(site, made) == ("mixed", False, {"pending": 5, "cancelled": 2})
    assert ids(site, ListFilter(states=("pending",))) == [made]
    assert ids(site, ListFilter(states=("open",))) == [made]
    site.notifier.cancel(made)
    assert words(site, made) == ("cancelled", True, {"cancelled": 7})


def test_list__says_no_word_for_parts_that_it_did_not_read(
    server: Server, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a notification is larger than what a page reads, the whole has no word."""
    monkeypatch.setattr(listing, "_MOST_ROUTES", 4)
    site = found(server, limits__max_routes=2)
    made = site.notify(*(f"u{n}" for n in range(7)), due_at=site.now() + HOUR)
    site.notifier.cancel(made)
    assert words(site, made) == (None, False, {"cancelled": 4})
