"""Limits on the shape of the code: how long functions are, and how many imports are not at the top."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SOURCES = [
    path
    for folder in (CHECKOUT / "elfsig", CHECKOUT / "formats" / "elfsig_formats")
    for path in sorted(folder.rglob("*.py"))
]

MAX_FUNCTION = 40
"""Lines of a function, without its docstring."""

MAX_LATE_IMPORTS = 150
"""Import statements in functions. What is heavy and rarely used is imported late, so that the command line
starts fast (tests/bench/startup.py); all else is imported at the top, where it can be seen."""


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_no_function_is_long() -> None:
    long = {
        f"{path.relative_to(CHECKOUT)}:{function.lineno} {function.name}": size
        for path in SOURCES
        for function in _functions(path)
        if (size := _length(function)) > MAX_FUNCTION
    }
    assert not long


def test_few_imports_are_in_functions() -> None:
    late = {
        (path, node.lineno)
        for path in SOURCES
        for function in _functions(path)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert len(SOURCES) > 200 and len(late) <= MAX_LATE_IMPORTS
