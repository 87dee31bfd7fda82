"""The gateways' side: read the gateway stream as a group that loses nothing."""

from galaxy_notify.gateway.consumer import GatewayConsumer
from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.options import ConsumerOptions

__all__ = ["ConsumerOptions", "Event", "GatewayConsumer"]
