"""Row E8: daemons that send e-mails, the mail server and Redis fail again and again."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from tests.faults.conftest import NewMailRun
from tests.faults.support.send_storm import rolling_restart, send_storm

pytestmark = [pytest.mark.slow, pytest.mark.extended]


def test_rowe8__small_storm(mail_run: NewMailRun) -> None:
    """Each is delivered, at most repeated with the same Message-ID."""
    one = mail_run()
    one.people(50)
    send_storm(one, routes=500, kill_each_s=1, server_kills=1)
    one.assert_sent()


@pytest.mark.timeout(3600)
def test_rowe8__storm(mail_run: NewMailRun) -> None:
    """5,000 e-mails; a daemon dies each second."""
    one = mail_run()
    one.people(200)
    send_storm(one, routes=5000, kill_each_s=1, server_kills=2)
    one.assert_sent()


def test_rowe8__storm_at_most_once(mail_run: NewMailRun) -> None:
    """None comes again after it may have been taken; such a route is a dead letter."""
    one = mail_run(delivery="at_most_once")
    one.people(50)
    send_storm(one, routes=500, kill_each_s=1, server_kills=1)
    one.assert_sent(at_most_once=True, but=(Status.DEAD_LETTER,))
    classes = {
        route.failure.failure_class
        for route in one.deployment.routes().values()
        if route.failure is not None
    }
    assert classes <= {"delivery_unknown"}


def test_rowe8__rolling_restart(mail_run: NewMailRun) -> None:
    """Who is asked to end leaves nothing in flight."""
    one = mail_run()
    one.people(50)
    rolling_restart(one, routes=300)
    one.assert_sent()
