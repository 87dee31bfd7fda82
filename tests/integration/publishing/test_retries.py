"""What an attempt costs: delays, the last attempt, and failures that no attempt mends."""

from __future__ import annotations

import itertools

import pytest

from galaxy_notify.errors import TransientEncodingError
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import HISTORY_KEPT, Route, Status
from galaxy_notify.model.route_body import MESSAGE_KEPT
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.roads import both_roads
from tests.support.servers import Server
from tests.support.wait import wait_until
from tests.support.worker import WorkerHarness


def transient(_: Notification, route: Route) -> bytes:
    """Ask for another attempt, always."""
    raise TransientEncodingError(f"attempt {route.attempts + 1}")


def permanent(_: Notification, route: Route) -> bytes:
    """Fail as a broken encoder does."""
    raise KeyError("no such field")


def step_when_due(deployment: DeploymentFixture, harness: WorkerHarness, member: str) -> None:
    """Let the server's clock reach a route's due time, then run a pass."""
    wait_until(lambda: deployment.now() >= deployment.due()[member], "it is due")
    harness.step()


def test_retry__comes_after_exactly_its_delay(any_server: Server, deploy: Deploy) -> None:
    """Without jitter attempt n is followed by min·2^(n-1), never more than the maximum."""
    deployment = deploy(
        any_server, retry__jitter="none", retry__backoff_min_ms=10, retry__backoff_max_ms=35
    )
    member = member_of(deployment.notify("u1"), "u1")
    harness = deployment.worker_harness(transient)
    for attempt, delay in enumerate((10, 20, 35, 35), 1):
        step_when_due(deployment, harness, member)
        route = deployment.route(member)
        assert (route.status, route.attempts) == (Status.FAILED, attempt)
        assert route.due_at_ms - route.at_ms == delay
        assert deployment.due() == {member: route.due_at_ms}
        assert deployment.leases() == {}
        assert route.failure is not None
        assert route.failure.failure_class == "payload_encoding_failed"
        assert route.failure.message == f"attempt {attempt}"
    assert deployment.total("retried") == 4


def test_retry__is_published_once_the_encoder_can(any_server: Server, deploy: Deploy) -> None:
    """A route that failed for a while is published by a later attempt, as soon as it is due."""
    # The poll interval is so long that nothing but the due times makes the worker look in time.
    deployment = deploy(
        any_server,
        retry__jitter="none",
        retry__backoff_min_ms=50,
        worker__poll_interval_ms=3_600_000,
    )

    def third(notification: Notification, route: Route) -> bytes:
        if route.attempts < 2:
            raise TransientEncodingError("not yet")
        return notification.packed

    member = member_of(deployment.notify("u1"), "u1")
    with deployment.worker_harness(third).running():
        wait_until(deployment.entries, "it is published")
    route = deployment.route(member)
    assert (route.status, route.attempts) == (Status.PUBLISHED, 2)
    assert [line.event for line in route.history] == ["retried", "retried", "published"]
    first, second, last = (line.at_ms for line in route.history)
    assert second >= first + 50
    assert route.due_at_ms == second + 100
    assert last >= route.due_at_ms


def test_jitter__spreads_retries_within_the_delay(any_server: Server, deploy: Deploy) -> None:
    """With full jitter routes that failed together do not become due together again."""
    deployment = deploy(any_server, retry__backoff_min_ms=10_000)
    deployment.notify(*(f"u{n}" for n in range(50)))
    harness = deployment.worker_harness(transient)
    harness.step()
    delays = [route.due_at_ms - route.at_ms for route in deployment.routes().values()]
    assert len(set(delays)) > 25
    assert all(5000 <= delay <= 10_000 for delay in delays)


@pytest.mark.parametrize("given", [None, 2])
def test_attempts__end_in_a_dead_letter(
    any_server: Server, deploy: Deploy, given: int | None
) -> None:
    """After the last attempt, by the intent or else by the setting, the route rests as dead."""
    deployment = deploy(
        any_server, retry__max_attempts=3, retry__backoff_min_ms=1, retry__jitter="none"
    )
    attempts = given or 3
    member = member_of(deployment.notify("u1", max_attempts=given), "u1")
    harness = deployment.worker_harness(transient)
    for _ in range(attempts):
        step_when_due(deployment, harness, member)
    route = deployment.route(member)
    assert (route.status, route.attempts) == (Status.DEAD_LETTER, attempts)
    assert route.failure is not None
    assert route.failure.failure_class == "payload_encoding_failed"
    assert route.failure.message == f"attempt {attempts}"
    assert [line.attempt for line in route.history] == list(range(1, attempts + 1))
    assert deployment.dead() == {member: route.at_ms}
    assert deployment.due() == {}
    assert deployment.entries() == []


def test_history__and_messages_are_bounded(any_server: Server, deploy: Deploy) -> None:
    """However often and however wordily a route fails, its state stays small and printable."""
    deployment = deploy(
        any_server, retry__max_attempts=40, retry__backoff_min_ms=1, retry__backoff_max_ms=1
    )
    number = itertools.count(1)

    def wordy(_: Notification, __: Route) -> bytes:
        raise TransientEncodingError(f"{next(number)}\n\x1b[31m" + "é" * 5000)

    member = member_of(deployment.notify("u1"), "u1")
    harness = deployment.worker_harness(wordy)
    for _ in range(40):
        step_when_due(deployment, harness, member)
    route = deployment.route(member)
    assert (route.status, route.attempts) == (Status.DEAD_LETTER, 40)
    assert len(route.history) == HISTORY_KEPT
    assert route.history[-1].message.startswith("40 ")
    assert all(len(line.message) <= MESSAGE_KEPT for line in route.history)
    assert all(line.message.isprintable() for line in route.history)
    assert len(deployment.state(member) or b"") < 32_768


def test_permanent_failure__is_buried_at_once(any_server: Server, deploy: Deploy) -> None:
    """An encoder's own error spends no attempt: the route is dead at once, its neighbours pass."""
    deployment = deploy(any_server)
    deployment.notify("good")
    broken = member_of(deployment.notify("bad", title="break"), "bad")

    def encode(notification: Notification, route: Route) -> bytes:
        return permanent(notification, route) if notification.title else notification.packed

    assert deployment.worker_harness(encode).step() == 2
    route = deployment.route(broken)
    assert (route.status, route.attempts) == (Status.DEAD_LETTER, 0)
    assert route.failure is not None
    assert route.failure.failure_class == "payload_encoding_failed"
    assert route.failure.message == "KeyError: 'no such field'"
    assert [entry["user_id"] for entry in deployment.entries()] == [b"good"]
    assert deployment.total("dead_lettered") == 1


def test_payload__larger_than_the_limit_is_buried(any_server: Server, deploy: Deploy) -> None:
    """What an encoder blew up beyond the limit does not enter the stream; at the limit it does."""
    deployment = deploy(any_server, limits__max_payload_bytes=500)
    deployment.notify("fits")
    large = member_of(deployment.notify("large"), "large")
    sizes = iter((500, 501))
    deployment.worker_harness(lambda *_: b"x" * next(sizes)).step()
    failure = deployment.route(large).failure
    assert failure is not None
    assert failure.failure_class == "payload_too_large"
    assert failure.message == "the payload has 501 bytes, the limit is 500"
    assert [len(entry["payload_bytes"]) for entry in deployment.entries()] == [500]


def test_payload__larger_than_the_limit_is_refused_at_accept(
    any_server: Server, deploy: Deploy
) -> None:
    """An intent whose payload is too large is refused with its field, and nothing is stored."""
    deployment = deploy(any_server, limits__max_payload_bytes=500)
    receipt = deployment.notifier.accept(
        {"type": "t", "producer": "p", "recipients": ["u1"], "data": {"text": "x" * 500}}
    )
    assert (receipt.status, receipt.notification_id) == ("refused", None)
    assert receipt.error is not None
    assert (receipt.error.code, receipt.error.field) == ("too_large", "data")
    assert deployment.routes() == {}


def test_retry__that_would_come_too_late_expires(any_server: Server, deploy: Deploy) -> None:
    """A route whose next attempt would fall after its end ends now, not later."""
    deployment = deploy(any_server, retry__backoff_min_ms=60_000, retry__jitter="none")
    member = member_of(deployment.notify("u1", expires_at=deployment.now() + 30_000), "u1")
    deployment.worker_harness(transient).step()
    route = deployment.route(member)
    assert (route.status, route.attempts) == (Status.EXPIRED, 0)
    assert deployment.total("expired") == 1


@both_roads
def test_route__claimed_late_expires(any_server: Server, deploy: Deploy) -> None:
    """A route that nobody claimed in time is not published; one without an end always is."""
    deployment = deploy(any_server)
    late, end = deployment.notify_for("late", 60)
    deployment.notify("endless")
    wait_until(lambda: deployment.now() >= end, "its end has come")
    assert deployment.worker_harness().step() == 2
    assert deployment.route(late).status is Status.EXPIRED
    assert [entry["user_id"] for entry in deployment.entries()] == [b"endless"]


def test_route__that_expires_between_claim_and_settle_is_not_published(
    any_server: Server, deploy: Deploy
) -> None:
    """The end of a route is checked by the server's clock when its event would be appended."""
    deployment = deploy(any_server)
    late, end = deployment.notify_for("late", 120)
    deployment.notify("endless")

    def dawdle(notification: Notification, _: Route) -> bytes:
        wait_until(lambda: deployment.now() >= end, "its end has come")
        return notification.packed

    deployment.worker_harness(dawdle).step()
    assert deployment.route(late).status is Status.EXPIRED
    assert [entry["user_id"] for entry in deployment.entries()] == [b"endless"]
    assert (deployment.total("expired"), deployment.total("published")) == (1, 1)


def test_replayed_route__has_no_end(any_server: Server, deploy: Deploy) -> None:
    """A replay drops the end: an operator wants it published although it is late."""
    deployment = deploy(any_server)
    harness = deployment.worker_harness(permanent)
    for left_ms in (100, 1_000, 10_000):
        member, end = deployment.notify_for(f"user-{left_ms}", left_ms)
        harness.step()
        if deployment.route(member).status is Status.DEAD_LETTER:
            break  # else it has expired before it was its turn
    wait_until(lambda: deployment.now() >= end, "its end has come")
    deployment.replay(member)
    deployment.worker_harness().step()
    assert deployment.route(member).status is Status.PUBLISHED
