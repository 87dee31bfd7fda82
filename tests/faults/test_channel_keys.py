"""Row E11: the key of the secrets is missing, wrong, or replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_notify.model.route import Status
from tests.faults.conftest import NewSendRun
from tests.faults.support.send_run import HOOKS, SECRET, SendRun
from tests.support.contacts import key
from tests.support.receiver_process import Behaviour
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

_MISCONFIGURED = 78


def _made(send_run: NewSendRun) -> tuple[SendRun, str]:
    """Found a deployment in which a route waits; the receiver checks signatures."""
    one = send_run(worker__serves=[HOOKS])
    one.people(1)
    one.receiver.behave(Behaviour(secret=SECRET))
    return one, one.notify("u0")[0]


def _assert_signed(one: SendRun, member: str) -> None:
    wait_until(lambda: one.status(member) is Status.DELIVERED, "it is delivered")
    (request,) = one.receiver.requests()
    assert request.is_signed
    assert one.deployment.route(member).attempts == 0


def test_rowe11__no_key(send_run: NewSendRun) -> None:
    """The daemon says so and ends with 78; nothing was sent."""
    one, member = _made(send_run)
    daemon = one.daemon(contacts__keys=[])
    assert daemon.ended() == _MISCONFIGURED
    assert "contacts.keys" in daemon.log.read_text()
    assert one.receiver.count() == 0
    assert one.status(member) is Status.PENDING


def _keyed(folder: Path, *keys: str) -> dict[str, str]:
    """Return the environment of a daemon whose keys are a credential, with these in it."""
    (folder / "contacts__keys").write_text(",".join(keys))
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_rowe11__wrong_key(send_run: NewSendRun, tmp_path: Path) -> None:
    """Routes wait, and nothing is sent unsigned; once the key is there, they are delivered."""
    one, member = _made(send_run)
    one.drop_setting("contacts__keys")
    daemon = one.daemon(variables=_keyed(tmp_path, key("k1", 2)))
    wait_until(lambda: "cannot be decrypted" in daemon.log.read_text(), "it says why")
    assert one.receiver.count() == 0
    assert one.status(member) is Status.PENDING
    _keyed(tmp_path, key("k1", 1))
    _assert_signed(one, member)


def test_rowe11__key_is_replaced(send_run: NewSendRun, tmp_path: Path) -> None:
    """A new key in front of the old one: contacts of either are sent to."""
    one, member = _made(send_run)
    one.drop_setting("contacts__keys")
    one.daemon(variables=_keyed(tmp_path, key("k2", 2), key("k1", 1)))
    _assert_signed(one, member)
