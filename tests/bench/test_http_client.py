"""The client that posts for rates, against the hello-world that is measured with it."""

from __future__ import annotations

import pytest

from tests.bench.http_client import post
from tests.bench.http_rate import hello
from tests.support.servers import free_port


def test_post__sends_each_request_once() -> None:
    """All are answered, over more connections than one, and each has its time."""
    with hello("h11") as found:
        posted = post(found.url, 40, 8)
    assert posted.statuses == {201: 40}
    assert len(posted.seconds) == 40
    assert posted.rate > 0


def test_post__reports_that_nobody_listens() -> None:
    """A rate of nothing is an error."""
    with pytest.raises(OSError, match="Connect call failed"):
        post(f"http://127.0.0.1:{free_port()}", 1, 1)
