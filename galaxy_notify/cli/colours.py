"""The colours of what a terminal shows."""

from __future__ import annotations

import click


def good(text: str) -> str:
    """Colour what is well."""
    return click.style(text, fg="green")


def warn(text: str) -> str:
    """Colour what deserves a look."""
    return click.style(text, fg="yellow")


def bad(text: str) -> str:
    """Colour what is wrong."""
    return click.style(text, fg="red", bold=True)


def faint(text: str) -> str:
    """Colour what is only there for completeness."""
    return click.style(text, dim=True)


def strong(text: str) -> str:
    """Colour a heading."""
    return click.style(text, bold=True)
