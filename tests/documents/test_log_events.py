"""The table of log events is the code's events, with their levels."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.documents import rows

PACKAGE = Path(__file__).parents[2] / "galaxy_notify"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
EDGES = ("redis unavailable", "redis available again")


def test_docs__tell_of_every_log_event() -> None:
    """Every event that the code logs is in the table at its level, and no other one."""
    told = {
        name: row[1]
        for row in rows("docs/telemetry.md", "events")
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    found = dict(event for path in PACKAGE.rglob("*.py") for event in _events(path))
    assert told.keys() == found.keys()
    assert {name: told[name] for name, level in found.items() if level} == {
        name: level for name, level in found.items() if level
    }


def _events(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                yield from _logged(node, function)
                yield from _written(node)


def _logged(node: ast.AST, function: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the events of a call of a logger, or of the making of an edge log."""
    if not isinstance(node, ast.Call):
        return
    called = ast.unparse(node.func)
    if called.endswith("EdgeLog"):
        edges = [arg.value for arg in node.args[1:3] if isinstance(arg, ast.Constant)]
        down, up = edges or EDGES
        yield str(down), "warning"
        yield str(up), "info"
    owner, _, method = called.rpartition(".")
    if method in LEVELS and re.search(r"log(?:ger\(.*\))?$", owner) and node.args:
        level = "error" if method == "exception" else method
        yield from ((name, level) for name in _texts(node.args[0], function))
    elif isinstance(node.func, ast.Name) and _is_log_method(node.func.id, function):
        yield from ((name, "") for name in _texts(node.args[0], function))


def _is_log_method(name: str, function: ast.AST) -> bool:
    """Tell whether a name stands for a method of a logger that was picked before."""
    return any(
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == name
        and re.match(r"self\._?log\.", ast.unparse(node.value))
        for node in ast.walk(function)
    )


def _written(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the event of a line that is written without a logger."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "event":
                yield from ((name, "") for name in _texts(value, node))


def _texts(value: ast.AST, function: ast.AST) -> Iterator[str]:
    if isinstance(value, ast.Constant):
        yield str(value.value)
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, function)
        yield from _texts(value.orelse, function)
    elif isinstance(value, ast.Name):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == value.id:
                yield from _texts(node.value, function)
