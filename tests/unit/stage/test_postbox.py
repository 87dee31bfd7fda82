"""The postbox of the stage: each e-mail once, whatever is written beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.stage.postbox import POSTBOX_VARIABLE, Postbox, find, send


def _delivery(number: int, user: str = "ada", title: str = "Your turn") -> Delivery:
    name = f"{number:032x}"
    event = LiveEvent(f"{name}/email:{user}", "stage.message", "info", title, "", {}, 0)
    return Delivery("email", user, event)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file that a daemon writes to."""
    made = tmp_path / "postbox.jsonl"
    monkeypatch.setenv(POSTBOX_VARIABLE, str(made))
    return made


def _send(*deliveries: Delivery) -> None:
    for delivery in deliveries:
        asyncio.run(send(delivery))


def test_mails__are_there_once_and_newest_first(path: Path) -> None:
    """A daemon that was killed after a send sends again: the id of the event is the same."""
    postbox = Postbox(path)
    assert postbox.newest() == []
    _send(_delivery(1), _delivery(2, "grace", ""), _delivery(1))
    found = [(mail.user, mail.title) for mail in postbox.newest()]
    assert found == [("grace", "stage.message"), ("ada", "Your turn")]
    _send(_delivery(3, title="Third"), _delivery(2, "grace", ""))
    assert [mail.title for mail in postbox.newest()] == ["Third", "stage.message", "Your turn"]


def test_mail__is_read_when_its_line_is_complete(path: Path) -> None:
    """Half a line is left for the next time."""
    _send(_delivery(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    postbox = Postbox(path)
    assert postbox.newest() == []
    path.write_bytes(whole)
    assert len(postbox.newest()) == 1


def test_old_mails__are_forgotten(path: Path) -> None:
    """However long the stage plays, the page is given a few."""
    _send(*(_delivery(number) for number in range(50)))
    found = Postbox(path).newest()
    assert [int(mail.notification_id, 16) for mail in found] == [*range(49, 29, -1)]


def test_address__is_that_of_the_user() -> None:
    """It is one that no mail ever reaches."""
    assert asyncio.run(find("ada", "email")) == [{"address": "ada@example.com"}]
