"""Functions that tests have as channels of their own, and deliveries for them."""

from __future__ import annotations

from galaxy_notify.channels.delivery import Delivery, TransientDeliveryError
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent

EVENT = LiveEvent("n1/mine:u1", "game.turn.ready", "notice", "Your turn", "", {"game": "g1"}, 1)


def contact(address: str = "ann@example.com", **data: object) -> Contact:
    """Return a contact of u1."""
    return Contact("c1", "mine", "tests.support.own_channels:send", address, data, 1)


def delivery(channel: str = "mine") -> Delivery:
    """Return a delivery to u1, which names no contact yet."""
    return Delivery(channel, "u1", EVENT, producer="lobby", attempt=2)


async def send(delivery: Delivery) -> None:
    """Deliver, or do what the address says."""
    if delivery.address == "later":
        raise TransientDeliveryError("busy", retry_after_ms=1500)
    if delivery.address.startswith("refuse"):
        raise ValueError(f"no mailbox {delivery.address}")


class NotAwaited:
    """Cannot be a channel: its call is not asynchronous."""

    def __call__(self, delivery: Delivery) -> None:
        """Return at once."""


async def send_again(delivery: Delivery) -> None:
    """Fail at the first attempt, for a while."""
    if delivery.attempt == 1:
        raise TransientDeliveryError("busy")


async def a_contact(user: str, channel: str) -> list[dict[str, str]]:
    """Return the one contact that each user has."""
    return [{"address": f"{user}@{channel}"}]


async def no_contacts(user: str, channel: str) -> list[object]:
    """Fail, as a lookup whose database is away."""
    raise OSError(f"{channel} of {user}: no database")
