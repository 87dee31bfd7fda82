"""Edges: say once that a value has crossed a threshold, however many processes watch it."""

from galaxy_notify.edges.trigger import AsyncEdgeTrigger, EdgeTrigger
from galaxy_notify.errors import InvalidEdge

__all__ = ["AsyncEdgeTrigger", "EdgeTrigger", "InvalidEdge"]
