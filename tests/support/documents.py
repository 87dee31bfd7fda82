"""What documents hold that can be run or compared: marked blocks and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.program import ROOT

_BLOCK = r"^<!-- {} -->\n```(\w+)\n(.*?)^```$"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A block that a document says can be run."""

    language: str
    text: str


def text_of(document: str) -> str:
    """Return a document's text."""
    return (ROOT / document).read_text(encoding="utf-8")


def runnable(document: str, language: str, marker: str = "run") -> list[Block]:
    """Return the blocks marked with ``<!-- run -->``, or with another marker, in order."""
    pattern = re.compile(_BLOCK.format(re.escape(marker)), re.MULTILINE | re.DOTALL)
    found = [Block(*match) for match in pattern.findall(text_of(document))]
    return [block for block in found if block.language == language]


def commands(document: str) -> list[str]:
    """Return every command of the blocks that can be run."""
    lines = [line for block in runnable(document, "sh") for line in block.text.splitlines()]
    return [line for line in lines if line.strip()]


def rows(document: str, marker: str) -> list[list[str]]:
    """Return the rows of the table after ``<!-- marker -->``, without its head, as cells."""
    after = text_of(document).partition(f"<!-- {marker} -->\n")[2]
    table = re.match(r"(?:\|.*\n)+", after)
    assert table, f"{document} has no table {marker}"
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in table[0].splitlines()[2:]
    ]


def names(document: str, marker: str) -> list[str]:
    """Return what stands as code in the first column of a table."""
    return [name for row in rows(document, marker) for name in _CODE.findall(row[0])]
