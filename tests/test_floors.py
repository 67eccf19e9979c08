"""The floors of the house: a module imports from its own floor's folder and from floors below, never up.

Function-level and type-checking imports count: a circle that is hidden in a function is a circle.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ROOTS = (CHECKOUT, CHECKOUT / "formats")

FLOORS = (
    ("elfsig.errors", "elfsig._version", "elfsig.lazy_dataclass", "elfsig.lazy_tuple"),
    ("elfsig.cage", "elfsig.elf"),
    ("elfsig.model",),
    ("elfsig.crypto",),
    ("elfsig.carriers", "elfsig.coverages", "elfsig.envelopes"),
    ("elfsig.plugins",),
    ("elfsig_formats",),
    ("elfsig.registry",),
    ("elfsig.compression",),
    ("elfsig.recognition",),
    ("elfsig.containers",),
    ("elfsig.opened",),
    ("elfsig.trust",),
    ("elfsig.signers",),
    ("elfsig.keygen",),
    ("elfsig.kernels",),
    ("elfsig.verbs",),
    ("elfsig.batch",),
    ("elfsig.host",),
    ("elfsig.api",),
    ("elfsig",),
    ("elfsig.cli",),
    ("elfsig.__main__", "elfsig.manual"),
)
"""From the ground up. Folders on one floor do not import from each other."""

MAX_MODULES, MAX_LINES = 30, 400


def _modules() -> dict[str, Path]:
    found = {}
    for root in ROOTS:
        for top in ("elfsig", "elfsig_formats"):
            for path in (root / top).rglob("*.py"):
                name = ".".join(path.relative_to(root).with_suffix("").parts)
                found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _room(module: str) -> str:
    """The entry of FLOORS that ``module`` belongs to."""
    rooms = [room for floor in FLOORS for room in floor]
    fitting = [r for r in rooms if module == r or (module.startswith(r + ".") and r != "elfsig")]
    assert fitting, f"{module} is on no floor"
    return max(fitting, key=len)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in floor}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module: str) -> None:
    room = _room(module)
    for imported in _imports(MODULES[module]):
        if imported in MODULES and (other := _room(imported)) != room:
            assert LEVEL[other] < LEVEL[room], f"{module} imports {imported}"


def test_no_folder_is_crowded() -> None:
    for folder in {path.parent for path in MODULES.values()}:
        assert len(list(folder.glob("*.py"))) <= MAX_MODULES, folder


def test_no_module_is_long() -> None:
    long = {
        name: n for name, path in MODULES.items() if (n := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert not long


def test_the_diagram_in_contributing_shows_these_floors() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
    diagram = text.split("## The floors")[1].split("```text\n")[1].split("```")[0]
    shown = [re.split(r"\s{2,}", line)[0].split(", ") for line in diagram.splitlines()]
    wanted = [[room.removeprefix("elfsig.") for room in floor] for floor in reversed(FLOORS)]
    assert [sorted(names) for names in shown] == [sorted(names) for names in wanted]


def _circles() -> list[list[str]]:
    """Modules that import each other, directly or through others, inside functions or not (Tarjan 1972)."""
    edges = {name: {each for each in _imports(path) if each in MODULES} for name, path in MODULES.items()}
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in sorted(edges[module]):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            at = stack.index(module)
            if len(stack) - at > 1 or module in edges[module]:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(MODULES):
        if module not in number:
            visit(module)
    return found


def test_no_module_imports_itself_through_others() -> None:
    assert not _circles()
