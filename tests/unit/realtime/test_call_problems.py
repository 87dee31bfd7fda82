"""Faults of Redis behind what users ask of their own: which problem each is, and what it says."""

from __future__ import annotations

import pytest

from galaxy_notify.errors import CallFailed, Misconfigured, Unavailable
from galaxy_notify.realtime.call_problems import CallProblems
from galaxy_notify.redis_client.faults import BUSY, Fault, RedisFault, Remedy
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.web.problems import Problem


def _fault(code: str, remedy: Remedy = Remedy.RETRY) -> RedisFault:
    return RedisFault(Fault(code, remedy, "a text", "db.example:6379", "someone"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_fault("timeout"), "unavailable"),
        (_fault("OOM"), "refused"),
        (_fault("OOM").with_unknown_outcome(), "unavailable"),
        (_fault(BUSY), "busy"),
        (_fault("NOPERM", Remedy.CONFIGURE), "misconfigured"),
        (Unavailable("db.example:6379 is away", code="timeout"), "unavailable"),
        (Misconfigured("db.example:6379 refuses", code="NOPERM"), "misconfigured"),
    ],
)
def test_fault__is_a_problem_without_the_server(error: RedisFault | CallFailed, kind: str) -> None:
    """Anybody may read it; the client comes back unless a person has to act first."""
    own = CallProblems("preferences", EdgeLog(get_logger("realtime")))
    with pytest.raises(Problem) as refused, own.problems():
        raise error
    assert refused.value.kind == kind
    assert ("Retry-After" in refused.value.headers) == (kind != "misconfigured")
    for secret in ("db.example", "someone", "a text"):
        assert secret not in refused.value.body.decode()
