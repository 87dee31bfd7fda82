"""Row E6: among many hosts one is dead, and the names of twelve are not found in time."""

from __future__ import annotations

import pytest

from tests.faults.conftest import NewSendRun
from tests.faults.support.send_run import HOOKS
from tests.faults.support.sick_hosts import compare_hosts, dead_host

pytestmark = [pytest.mark.slow, pytest.mark.extended]

#: What a busy machine takes by itself; who waits for places that wait for sick hosts takes longer.
_NOISE_S = 0.5


def test_rowe6__sick_hosts_hold_up_no_other(send_run: NewSendRun) -> None:
    """Healthy hosts get theirs as soon as without sick ones; what waits costs Redis little."""
    with dead_host() as port:
        one = send_run({HOOKS: {"per_host": 8}}, [port])
        found = compare_hosts(one, port, routes=3000, per_s=100)
        one.figures.append(str(found))
        assert found.is_within(_NOISE_S), str(found)
