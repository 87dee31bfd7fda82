"""The side of the gateways: read the gateway stream as a consumer group, at least once."""

from galaxy_notify.gateway.consumer import GatewayConsumer
from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.options import ConsumerOptions

__all__ = ["ConsumerOptions", "Event", "GatewayConsumer"]
