"""A channel of one's own for tests of processes: a send lasts until the test lets it end."""

from __future__ import annotations

import os
from pathlib import Path

from galaxy_notify.channels import Delivery
from tests.support.wait import until

#: The variable with the folder in which sends meet the test.
FOLDER = "HELD_SENDS"


async def send(delivery: Delivery) -> None:
    """Say that it is being sent, by a file; return once there is the file ``end``."""
    folder = Path(os.environ[FOLDER])
    (folder / f"sent-{delivery.user_id}-{delivery.attempt}").touch()
    await until((folder / "end").exists, "it may end")
