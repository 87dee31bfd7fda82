"""Reads the contract at the top of a script, and what its body does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SECTIONS = ("KEYS", "ARGV", "RETURNS")
_ENTRY = re.compile(r"^  (\d+)(\.\.)? +(.*)$")
_WORD = re.compile(r"^  ([a-z_]+) {2,}\S")
#: An answer's word: returned, given to `answer` or `orphan`, or reported.
_ANSWER = re.compile(r"\breturn\b|\banswer\(|\borphan\(|\bholds\b|= \{known\b|\bverdict\b")


@dataclass(frozen=True)
class Entry:
    """One line of KEYS or ARGV; *rest* where the values from there on are alike."""

    index: int
    rest: bool
    text: str

    @property
    def name(self) -> str:
        """Return the first word of the description."""
        return self.text.split()[0]


class Header:
    """A script's header, taken apart; a malformed one raises."""

    def __init__(self, path: Path) -> None:
        text = path.read_text("utf-8")
        head, _, self.body = text.partition("\n\n")
        self.all_lines = text.splitlines()
        lines = head.splitlines()
        assert all(line == "--" or line.startswith("-- ") for line in lines), "a bare line"
        stripped = [line[3:] for line in lines]
        first = re.fullmatch(r"(\w+): (.+) -> (.+)", stripped[0])
        assert first, "no transition"
        self.name = first[1]
        self.transition = f"{first[2]} -> {first[3]}"
        self.sources, self.targets = (_statuses(first[part]) for part in (2, 3))
        assert stripped[1] == "", "no empty line after the transition"
        self._split(stripped[2:])

    def _split(self, lines: list[str]) -> None:
        starts = [i for i, line in enumerate(lines) if line.split(" ")[0] in _SECTIONS]
        words = [lines[i].split(" ")[0] for i in starts]
        assert words == list(_SECTIONS), f"sections are {words}"
        assert lines[starts[0] - 1] == "", "no empty line before KEYS"
        self.why = lines[: starts[0] - 1]
        keys, argv, self.returns = (
            lines[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)
        )
        self.keys, self.argv = _entries(keys), _entries(argv)

    @property
    def documented_words(self) -> set[str]:
        """Return the words that RETURNS promises, in its first column or in quotes."""
        first = {match[1] for line in self.returns if (match := _WORD.match(line))}
        return first | set(re.findall(r"'([a-z_]+)'", "\n".join(self.returns)))

    @property
    def answered_words(self) -> set[str]:
        """Return the words that the body can answer."""
        found = set()
        for line in self.body.splitlines():
            code = _without_calls(line)
            if _ANSWER.search(code) and not code.startswith("local function"):
                found |= set(re.findall(r"'([a-z_]+)'", code))
        return found

    def read(self, table: str) -> set[int]:
        """Return the indexes of KEYS or ARGV that the body reads, and where its loops begin."""
        found = {int(index) for index in re.findall(rf"\b{table}\[(\d+)\]", self.body)}
        if table == "ARGV":
            starts = re.findall(r"\bat(?:, \w+)* = (\d+)\b", self.body)
            found |= {int(start) for start in starts}
        return found


def _statuses(text: str) -> set[str]:
    return set(text.split(" | "))


def _entries(lines: list[str]) -> list[Entry]:
    found = []
    for line in lines[1:]:
        match = _ENTRY.match(line)
        assert match or line.startswith("     "), f"not an entry: {line!r}"
        if match:
            found.append(Entry(int(match[1]), bool(match[2]), match[3] or ""))
    return found


def _without_calls(line: str) -> str:
    """Return the line without calls to Redis, and without what only explains an orphan."""
    line = re.sub(r"\b(?:call|try)\((?:[^()]|\([^()]*\))*\)", "", line)
    return re.sub(r"(orphan\(\w+, '\w+'), '\w+'", r"\1", line)
