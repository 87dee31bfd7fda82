"""The deployments of the integration tests, and their logs."""

from tests.integration.conftest import deploy, lines, road

__all__ = ["deploy", "lines", "road"]
