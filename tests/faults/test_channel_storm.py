"""Row E1: daemons that send, and Redis, are killed again and again."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from tests.faults.conftest import NewSendRun
from tests.faults.support.send_run import BOTH, HOOKS, MINE
from tests.faults.support.send_storm import rolling_restart, send_storm

pytestmark = [pytest.mark.slow, pytest.mark.extended]

#: A busy machine must not be what ends an attempt.
_PATIENT = {"timeout_ms": 8000, "lease_ttl_ms": 16_000}


def test_rowe1__small_storm(send_run: NewSendRun) -> None:
    """Each is delivered, at most repeated under the same id."""
    one = send_run(dict.fromkeys(BOTH, _PATIENT))
    one.people(50)
    send_storm(one, routes=1500, kill_each_s=1, server_kills=2)
    one.assert_sent()


@pytest.mark.timeout(3600)
def test_rowe1__storm(send_run: NewSendRun) -> None:
    """20,000 routes; a daemon dies each second."""
    one = send_run(dict.fromkeys(BOTH, _PATIENT))
    one.people(200)
    send_storm(one, routes=20_000, kill_each_s=1, server_kills=2)
    one.assert_sent()


def test_rowe1__storm_at_most_once(send_run: NewSendRun) -> None:
    """None comes again after it may have been delivered; such a route is a dead letter."""
    rare = {**_PATIENT, "delivery": "at_most_once"}
    one = send_run({HOOKS: rare, MINE: rare})
    one.people(50)
    send_storm(one, routes=1500, kill_each_s=1, server_kills=2)
    one.assert_sent(at_most_once=BOTH, but=(Status.DEAD_LETTER,))
    classes = {
        route.failure.failure_class
        for route in one.deployment.routes().values()
        if route.failure is not None
    }
    assert classes <= {"delivery_unknown"}


def test_rowe1__rolling_restart_at_most_once(send_run: NewSendRun) -> None:
    """Who is asked to end leaves nothing in flight: all is delivered, and nothing twice."""
    rare = {**_PATIENT, "delivery": "at_most_once"}
    one = send_run({HOOKS: rare, MINE: rare})
    one.people(50)
    rolling_restart(one, routes=1500)
    one.assert_sent(at_most_once=BOTH)
