"""External channels: what is sent to addresses outside, and what keeps that from doing harm."""

from galaxy_notify.channels.delivery import Delivery, TransientDeliveryError

__all__ = ["Delivery", "TransientDeliveryError"]
