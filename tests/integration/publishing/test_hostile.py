"""What strangers raise in our process: only the route concerned pays for it.

What they leave in Redis is in tests/properties/hostile.
"""

from __future__ import annotations

import pytest

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from tests.support.deployment import Deploy, member_of
from tests.support.intents import PLAIN
from tests.support.servers import Server


class _Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _SpeechlessForAWhile(TransientEncodingError):
    __str__ = _Speechless.__str__


@pytest.mark.parametrize(
    ("error", "status"), [(_Speechless, "dead_letter"), (_SpeechlessForAWhile, "failed")]
)
def test_encoder__whose_error_has_no_text_stops_no_worker(
    any_server: Server, deploy: Deploy, error: type[Exception], status: str
) -> None:
    """An error that cannot even say what it is costs its own route only."""

    def encode(notification: Notification, route: Route) -> bytes:
        if notification.title:
            raise error
        return notification.packed

    deployment = deploy(any_server)
    made = deployment.notify("odd", title="odd")
    deployment.notify("neighbour")
    assert deployment.worker_harness(encode).step() == 2
    assert deployment.statuses() == {"odd": status, "neighbour": "published"}
    failure = deployment.route(member_of(made, "odd")).failure
    assert failure
    assert error.__name__ in failure.message


def test_intent__of_parts_is_refused_whole(any_server: Server, deploy: Deploy) -> None:
    """A payload that only fits under the shorter id of the first part is refused before any."""
    deployment = deploy(any_server, limits__max_payload_bytes=400, limits__max_routes=1)
    intent = {**PLAIN, "recipients": ["u1", "u2", "u3"]}
    refused = 0
    for size in range(240, 320):
        receipt = deployment.notifier.accept({**intent, "body": "x" * size})
        refused += receipt.status == "refused"
        assert receipt.status == "accepted" or receipt.error
        assert receipt.error is None or receipt.error.code == "too_large"
        assert deployment.total("accepted") % 3 == 0
    assert 0 < refused < 80
