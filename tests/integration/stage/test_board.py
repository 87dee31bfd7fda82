"""The board of the stage: routes of what was sent, as they are in Redis."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.stage.board import Board
from galaxy_notify.stage.sending import Sending, read_sending
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment with a channel as the stage has it."""
    return deploy(server, worker__channels=["in_app"])


def _send(deployment: DeploymentFixture, board: Board, **form: Any) -> Sending:
    sending = read_sending({"to": ["ada"], "title": "Your turn", **form})
    receipt = deployment.notifier.accept(sending.intent)
    assert receipt.notification_id is not None
    board.track(receipt.notification_id, sending)
    return sending


def _shown(board: Board) -> list[tuple[str, str, str]]:
    return [(one["title"], one["user"], one["status"]) for one in board.read()["routes"]]


def test_board__shows_routes_as_they_are(deployment: DeploymentFixture) -> None:
    """Each route to each user: due later, then due, then published."""
    board = Board(deployment.connected)
    assert board.read() == {"routes": [], "more": 0}
    _send(deployment, board, to=["ada", "grace"], urgent=True)
    later = _send(deployment, board, title="Later", in_s=10)
    assert _shown(board) == [
        ("Later", "ada", "pending"),
        ("Your turn", "ada", "pending"),
        ("Your turn", "grace", "pending"),
    ]
    deployment.worker_harness().step()
    routes = board.read()["routes"]
    assert [route["status"] for route in routes] == ["pending", "published", "published"]
    assert [route["urgent"] for route in routes] == [False, True, True]
    assert routes[0]["due_at_ms"] == later.due_at_ms


def test_board__keeps_what_a_person_sent(deployment: DeploymentFixture) -> None:
    """A steady load beside it does not push it away; what is not shown is counted."""
    board = Board(deployment.connected)
    _send(deployment, board, title="Mine")
    for number in range(20):
        _send(deployment, board, title=f"Move {number}", steady=True)
    assert [title for title, _, _ in _shown(board)] == ["Move 19", "Move 18", "Move 17", "Mine"]
    assert board.read()["more"] == 17
    worker = deployment.worker_harness()
    while worker.step():
        pass
    # It reads a few of those at a time.
    for _ in range(3):
        board.read()
    assert board.read()["more"] == 0
    assert {status for _, _, status in _shown(board)} == {"published"}
