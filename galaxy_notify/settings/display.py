"""The settings as an operator may see them: without secrets."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from galaxy_notify.settings.values import MASK, masked_url


def shown_value(name: str, value: object) -> object:
    """Return a setting as JSON can hold it, with what is secret in it masked."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [shown_value(name, item) for item in value]
    return masked_url(value) if name == "url" and isinstance(value, str) else value
