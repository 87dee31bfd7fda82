"""The deployments of the integration tests, and their logs."""

from tests.integration.conftest import found, lines

__all__ = ["found", "lines"]
