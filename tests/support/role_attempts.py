"""What daemons and operators do with the attempts at the endpoints of a user, as steps."""

from __future__ import annotations

from collections.abc import Iterator

from galaxy_notify.redis_client.access import open_sync
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.attempts import (
    MOST_ATTEMPTS,
    EndpointAttempt,
    RecordedAttempt,
    attempt_record,
    attempts_flow,
    failing_since_flow,
)
from galaxy_notify.redis_state.contacts import ContactChange, contact_change
from galaxy_notify.redis_state.roles import Role
from tests.support.roles import Stage, step

_PLACE = ("u1", "hooks/a")


@step(Role.DAEMON, Role.OPERATOR)
def records_attempts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    yield
    with open_sync(deployment.settings_at(stage.url)) as client:
        for begin in (0, MOST_ATTEMPTS // 2, MOST_ATTEMPTS):
            items = [
                RecordedAttempt(*_PLACE, EndpointAttempt(n, f"{n}/hooks", "chat", 1, "transient"))
                for n in range(begin, begin + MOST_ATTEMPTS // 2)
            ]
            run_sync(client, attempt_record(deployment.keys, items))
        run_flow_sync(client, failing_since_flow(deployment.keys, *_PLACE))


@step(Role.OPERATOR, Role.READER)
def looks_at_attempts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    yield
    with open_sync(deployment.settings_at(stage.url)) as client:
        run_flow_sync(client, attempts_flow(deployment.keys, *_PLACE))


@step(Role.OPERATOR)
def forgets_attempts(stage: Stage) -> Iterator[None]:
    deployment = stage.deploy()
    change = ContactChange("hooks", "a", b"1")
    run_sync(deployment.client, contact_change(deployment.keys, "u1", [change]))
    yield
    stage.cli("users", "forget", "u1", "--yes")
