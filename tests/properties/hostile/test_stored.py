"""Hostile records, states, members and scores in Redis: each costs its own route only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from galaxy_notify.model.route import decode_route, newer_state
from tests.properties.hostile.corpus import MEMBERS, RECORDS, SCORES, STATES, Case
from tests.properties.hostile.planting import KEYS, ROUTE, id_of, plant
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.telemetry import Lines


@contextmanager
def _beset(deploy: Deploy, server: Server) -> Iterator[DeploymentFixture]:
    """Give a deployment to plant things in; then work off what is due, and the neighbours."""
    deployment = deploy(server)
    deployment.whole = False
    deployment.notify("before")
    yield deployment
    deployment.notify("after")
    harness = deployment.worker_harness()
    passes = 0
    while harness.step():
        passes += 1
        assert passes < 20, "something is claimed again and again"
    statuses = deployment.statuses()
    assert (statuses["before"], statuses["after"]) == ("published", "published")


def _end(deployment: DeploymentFixture, number: int) -> tuple[str, str]:
    raw = deployment.client.hget(KEYS.notification(id_of(number)), ROUTE)
    assert isinstance(raw, bytes)
    if newer_state(raw):
        return "pending", ""
    route = decode_route(raw)
    return str(route.status), route.failure.failure_class if route.failure else ""


def _assert_ends(deployment: DeploymentFixture, cases: dict[str, Case]) -> None:
    ends = {name: _end(deployment, number) for number, name in enumerate(cases, 1)}
    assert ends == {name: (case.status, case.why) for name, case in cases.items()}


def test_record__ends_as_it_must(any_server: Server, deploy: Deploy, lines: Lines) -> None:
    """Whatever stands in place of a record, its route ends with its class, and no other."""
    with _beset(deploy, any_server) as deployment:
        for number, case in enumerate(RECORDS.values(), 1):
            plant(deployment.client, f"{id_of(number)}/{ROUTE}", record=case.raw)
    _assert_ends(deployment, RECORDS)
    _assert_sober(lines)


def test_state__ends_as_it_must(any_server: Server, deploy: Deploy, lines: Lines) -> None:
    """Whatever stands in place of a state, its route ends with its class, and no other."""
    with _beset(deploy, any_server) as deployment:
        for number, case in enumerate(STATES.values(), 1):
            plant(deployment.client, f"{id_of(number)}/{ROUTE}", state=case.raw)
    _assert_ends(deployment, STATES)
    _assert_sober(lines)


def test_member__that_names_no_route_is_set_aside(
    any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """A member without a notification leaves the schedule, and is kept among the orphans."""
    with _beset(deploy, any_server) as deployment:
        deployment.client.zadd(KEYS.schedule("push"), dict.fromkeys(MEMBERS, 1.0))
    told = {member.decode(errors="replace"): reason for member, reason in MEMBERS.items()}
    assert deployment.orphans() == told
    assert deployment.due() == {}
    _assert_sober(lines)


@pytest.mark.parametrize("spoilt", ["record", "state"])
def test_member__with_a_hash_of_its_own_ends(
    spoilt: str, any_server: Server, deploy: Deploy, lines: Lines
) -> None:
    """Braces, line ends, NULs and 4 kB in an id collide with no key and stop no worker."""
    members = [member for member, reason in MEMBERS.items() if member.count(b"/") == 1]
    with _beset(deploy, any_server) as deployment:
        for member in members:
            if spoilt == "record":
                plant(deployment.client, member, record=b"\xc1")
            else:
                plant(deployment.client, member, state=b"\xc1")
    assert deployment.due() == {}
    assert set(deployment.orphans().values()) <= {"malformed", "record_corrupt"}
    for dead in deployment.dead():
        assert dead.startswith("f" * 32), "what is no member rests among the dead letters"
    _assert_sober(lines)


def test_score__decides_only_when(any_server: Server, deploy: Deploy) -> None:
    """A route is due by any finite score in the past and never by one beyond all dates."""
    with _beset(deploy, any_server) as deployment:
        for number, score in enumerate(SCORES, 1):
            plant(deployment.client, f"{id_of(number)}/{ROUTE}", score)
    ends = [_end(deployment, number)[0] for number in range(1, len(SCORES) + 1)]
    assert ends == ["published" if due else "pending" for due in SCORES.values()]


@pytest.mark.parametrize("score", ["nan", "-nan"])
def test_score__that_is_no_number_is_refused_by_redis(any_server: Server, score: str) -> None:
    """No schedule can hold NaN."""
    with any_server.client() as client, pytest.raises(Exception, match="not a valid float"):
        client.execute_command("ZADD", KEYS.schedule("push"), score, f"{id_of(1)}/{ROUTE}")


def _assert_sober(lines: Lines) -> None:
    """Assert that every log line is one JSON object of bounded size, without a traceback."""
    told = lines()
    assert told
    for line in told:
        text = json.dumps(line)
        assert len(text) < 8192
        assert "Traceback" not in text
        assert "exception" not in line, line
