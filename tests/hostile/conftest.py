"""The deployments of the flow tests, and their logs."""

from tests.flow.conftest import found, lines

__all__ = ["found", "lines"]
