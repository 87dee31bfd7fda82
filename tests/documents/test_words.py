"""Texts that users read are plain English: they use none of the project's former private words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from galaxy_notify.cli.group import cli
from tests.support.program import ROOT

#: A pattern that public texts must not match → the words to use instead.
REFUSED = {
    r"\b(?:tells?|told|telling)\b": "report, return, log, print, show",
    r"\bso (?:long|many|often|soon)\b(?! as\b| that\b)": "for this long, this many, N times",
    r"\bis none\b(?! of)|\bis no (?:name|number|text|id|such)\b": "is invalid, is not a …",
    r"\bis none of\b": "is not one of",
    r"\b(?:what|which) is no\b": "unknown, invalid",
    r"\bstrangers?\b|\bsomebody else'?s?\b": "another client, third party",
    r"\bwhoever\b": "the caller, any caller that …",
    r"\b(?:some|every)body\b|(?<!the user )\bnobody\b": "a noun: a user, every user, no client",
    r"\banew\b": "again",
    r"\bamiss\b": "wrong, inconsistent",
    r"\bbefall(?:s|en)?\b": "happens to",
    r"\bgives? way\b": "makes room",
    r"\bof ours\b|\b(?:is|are) ours\b": "own, of galaxy-notify",
    r"\bin hand\b": "in flight, claimed, in progress",
    r"\btakes? (?:nothing|no writes)\b": "refuses writes",
    r"\bmend(?:s|ed|ing)?\b": "repair",
    r"\blapse[sd]?\b": "expire",
    r"\bput(?:s)? (?:it|them) right\b": "repair",
    r"\bknows? of no\b": "has no",
    r"\bstand(?:s)? still\b": "stop",
    r"\bgo(?:es)? by what\b": "use",
    r"\blikewise\b": "repeat the word",
}
#: It names the words that are not used.
GLOSSARY = "docs/glossary.md"
DOCUMENTS = [
    "README.md",
    "lua/README.md",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")),
]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
#: Values of JSON fields and of metrics, which the contract keeps.
KEPT = {"mended", "mends", "told", "lapses_at_ms"}


@pytest.mark.parametrize("document", sorted({*DOCUMENTS} - {GLOSSARY}))
def test_words__of_documents(document: str) -> None:
    """No document uses a refused word outside of code."""
    text = (ROOT / document).read_text(encoding="utf-8")
    prose = CODE.sub(lambda code: "\n" * code.group().count("\n"), text)
    _check((f"{document}:{n}", line) for n, line in enumerate(prose.splitlines(), 1))


def test_words__of_the_settings_sample() -> None:
    """The comments of the sample explain settings in plain words."""
    lines = (ROOT / "config/galaxy_notify.toml").read_text(encoding="utf-8").splitlines()
    _check((f"sample:{n}", line) for n, line in enumerate(lines, 1))


def test_words__of_script_headers() -> None:
    """The comments that begin a script say what it does in plain words."""
    for path in sorted(ROOT.glob("lua/*.lua")):
        header = re.match(r"(?:--.*\n)+", path.read_text(encoding="utf-8"))
        _check([(path.name, header.group())] if header else [])


def test_words__of_help() -> None:
    """The help of every command uses plain words."""
    _check(_help("galaxy-notify", cli))


def test_words__of_messages() -> None:
    """Log events, errors and findings in the code use plain words."""
    for path in sorted((ROOT / "galaxy_notify").rglob("*.py")):
        _check(_messages(path))


def _check(texts: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> None:
    bad = [
        f"{place}: {match.group()!r}; say: {better}"
        for place, text in texts
        for pattern, better in REFUSED.items()
        if (match := re.search(pattern, text, re.IGNORECASE))
    ]
    assert not bad, "\n" + "\n".join(bad)


def _help(name: str, command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from _help(f"{name} {child}", found)


def _messages(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the literal texts of more than one word, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            if id(node) not in docstrings and " " in text and text not in KEPT:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text
