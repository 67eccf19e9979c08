"""Which functions of elfsig read what they are given, by their names, and which of them a shape runs."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import elfsig
import elfsig_formats
from tests.linear.measure import Call, Shape, called

ROOTS = tuple(Path(str(each.__file__)).parent for each in (elfsig, elfsig_formats))
NAMES = re.compile(r"(parse|read|find|scan|unpack|members|entries|extents|recognized|kind_of)(_|$)")
NOT_READERS = ("cli/", "manual/", "cage/", "api/")
"""Folders that call what is below them."""

SMALLER = 16
"""How much smaller the shapes are than when they are measured."""

NOT_MEASURED = {
    "elfsig/batch/parts/store:Bucket.read": "needs a server; Folder.read is measured",
    "elfsig/batch/plain_file:read_ends": "two reads of fixed sizes",
    "elfsig/batch/policy/fleet:find_hosts": "lists directories that the user names",
    "elfsig/batch/vendor/modules:Vendor.read": "surveys, which are measured",
    "elfsig/carriers/detached:ModuleArgument.find": "calls argument_place(), which is measured",
    "elfsig/containers/images/ewf:read": "no tool here makes such images",
    "elfsig/crypto/pkcs1:read_digest_info": "one comparison for each hash there is",
    "elfsig/host/owner_lists:OwnerLists.read": "chooses among two files",
    "elfsig/keygen/kinds:kind_of": "of a key that was read",
    "elfsig/opened/bundle:read_pieces": "copies",
    "elfsig/opened/evidence:read_inside": "calls resolve(), which 'members' measures",
    "elfsig/opened/inside:read_inside": "calls resolve(), which 'members' measures",
    "elfsig/opened/remote/client:entries": "needs a server",
    "elfsig/opened/remote/stores:entries": "needs a server",
    "elfsig/signers/pkcs11_module:find_token": "asks a token",
    "elfsig/signers/pkcs11_objects:find_half": "asks a token",
    "elfsig/trust/efi:entries": "raises at what walk() finds, which is measured",
    "elfsig/trust/openpgp:read": "calls read_ring(), which is measured",
    "elfsig/verbs/verify/no_keys:NoKeys.find": "finds nothing, always",
}
"""What no shape runs, and why."""


def _functions(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Public functions and methods of public classes, by their full names."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_"):
            yield from _functions(each, (*names, each.name))
        elif isinstance(each, ast.FunctionDef):
            yield ".".join((*names, each.name)), each


def _is_stub(function: ast.FunctionDef) -> bool:
    """Whether it only declares what others implement."""
    return all(isinstance(each, (ast.Expr, ast.Raise)) for each in function.body)


def parsers() -> Iterator[str]:
    """``module:function`` for everything that reads, parses or finds, by its name."""
    for root in ROOTS:
        for path in sorted(root.rglob("*.py")):
            module = str(path.relative_to(root.parent).with_suffix(""))
            if module.partition("/")[2].startswith(NOT_READERS):
                continue
            for name, function in _functions(ast.parse(path.read_text()), ()):
                if NAMES.match(function.name) and not _is_stub(function):
                    yield f"{module}:{name}"


def ran(table: Iterable[tuple[Shape, Mapping[str, Call]]]) -> set[str]:
    """``module:function`` of all functions that the shapes run, small."""

    def calls() -> Iterator[Callable[[], object]]:
        for shape, each in table:
            data = shape.make(max(1, shape.start // SMALLER))
            yield from (partial(called, call, data) for call in each.values())

    return run_by(calls())


def run_by(calls: Iterable[Callable[[], object]]) -> set[str]:
    """``module:function`` of all functions that the calls run; what makes the calls does not count."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    for call in calls:
        sys.setprofile(note)
        try:
            call()
        finally:
            sys.setprofile(None)
    places = {str(root.parent) + "/": root for root in ROOTS}
    return {
        f"{code.co_filename.removeprefix(place).removesuffix('.py')}:{code.co_qualname}"
        for code in codes
        for place in places
        if code.co_filename.startswith(place)
    }
