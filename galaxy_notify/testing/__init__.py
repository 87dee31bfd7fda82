"""A deployment inside a test's own process: the shipped scripts and code, and a clock to move."""

try:
    import fakeredis
    import lupa
except ImportError as error:
    raise ImportError(
        "galaxy_notify.testing needs fakeredis and Lua: pip install 'galaxy-notify[testing]'",
        name=error.name,
    ) from None

from galaxy_notify.gateway.event import Event
from galaxy_notify.testing.deployment import LocalDeployment, deployment

__all__ = ["Event", "LocalDeployment", "deployment"]
del fakeredis, lupa
