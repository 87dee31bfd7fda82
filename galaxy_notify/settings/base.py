"""What all sections of the settings are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

FilePath: TypeAlias = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    """A part of the settings: closed, strict about types, and never changed."""

    # Built when first used: `Settings` checks all sections by one schema of its own.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True
    )
