"""Entry point to the two engines that edit an ELF file: pre-check, edit, witness. Every result is proven."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from elfsig.elf import splice
from elfsig.elf.guard import NewSection, prove_inserted, prove_removed
from elfsig.elf.words import UNWITNESSED
from elfsig.errors import UsageError


class Engine(NamedTuple):
    """``insert`` appends a section to the table, ``remove`` takes one out by its index. ``proven``: the
    witness compares each result with what it was made from."""

    insert: Callable[[bytes, NewSection], bytes]
    remove: Callable[[bytes, int], bytes]
    proven: bool = True


def _exact() -> Engine:
    return Engine(lambda content, wish: splice.insert(content, *wish), splice.remove)


def _unwitnessed() -> Engine:
    return _exact()._replace(proven=False)


def _lief() -> Engine:
    from elfsig.elf import lief_engine

    return Engine(lief_engine.insert, lief_engine.remove)


ENGINES: dict[str, Callable[[], Engine]] = {"exact": _exact, "lief": _lief, UNWITNESSED: _unwitnessed}


def _engine(name: str) -> Engine:
    if name not in ENGINES:
        raise UsageError(f"unknown engine {name!r}: choose from exact, lief", code="unknown-engine")
    return ENGINES[name]()


def insert_section(content: bytes, wish: NewSection, engine: str = "exact") -> bytes:
    """``content`` with one more section, proven to differ in nothing else.

    Raises EditRefused and ParseError.
    """
    by = _engine(engine)
    edited = by.insert(content, wish)
    if by.proven:
        prove_inserted(content, edited, wish)
    return edited


def remove_section(content: bytes, index: int, engine: str = "exact") -> bytes:
    """``content`` without section ``index``, proven to differ in nothing else.

    Raises EditRefused and ParseError.
    """
    by = _engine(engine)
    edited = by.remove(content, index)
    if by.proven:
        prove_removed(content, edited, index)
    return edited
