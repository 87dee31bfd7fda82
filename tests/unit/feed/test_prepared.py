"""Publications that passed every check."""

from __future__ import annotations

from galaxy_notify.feed.prepared import prepared
from galaxy_notify.model.live_event import unpack_live_event
from galaxy_notify.model.publication import Publication


def test_live_event__has_the_data_of_the_row() -> None:
    """A program may change the data meanwhile, to what nobody could be sent."""
    data = {"turn": 12}
    publication = Publication(user="u1", type="t", producer="p", data=data)
    wanted = prepared(publication, 1000)
    vars(publication)["data"]["turn"] = object()
    event = wanted.live_event
    assert event.data == {"turn": 12}
    assert unpack_live_event(event.packed) == event
