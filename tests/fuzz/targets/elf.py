"""The section table, and everything that is computed from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from elfsig.coverages.catalogue import COVERAGES
from elfsig.elf import modinfo, splice, symbols
from elfsig.elf.check import sound_relocatable
from elfsig.elf.image import Image
from elfsig.elf.table import ElfTable
from elfsig.errors import EditRefused, ElfsigError, ParseError
from elfsig.verbs.inspect.compare import compare
from tests.fuzz import seeds
from tests.fuzz.mutate.elf import NAMES, elf
from tests.fuzz.target import Broken, Limits, Target
from tests.support import reference_streams
from tests.support.opened import decompressed

KNOWN = ("textdata", "textdata-fc2", "textdata-2003", "fileorder", "fileorder-nobuildid", "sorted")
"""Coverages that reference_streams computes as well."""

PLAIN = decompressed(seeds.unsigned()[0], seeds.REGISTRY)


def table(data: bytes) -> None:
    """Every row, name and content; the summary; fields of .modinfo, the build id, symbols, relocations."""
    image = Image(data)
    if image.elf is None:
        return
    found = image.elf
    found.summary()
    assert found.end
    for section in found.sections:
        with suppress(ParseError):
            if section.row.in_file and len(found.content(section.nr)) != section.row.size:
                raise Broken("content-size", f"section {section.nr} is not as large as its header says")
    modinfo.own_name(image)
    modinfo.build_id(image)
    modinfo.value(image, b"vermagic")


def relocations(data: bytes) -> None:
    """Symbols and relocations one by one, as comparisons need them."""
    found = ElfTable(data)
    names, strings = symbols.labels(found), symbols.SymbolNames(found, len(data))
    for nr in symbols.symbol_tables(found):
        known = symbols.symbols(found, nr, names, strings)
        for section in found.sections:
            with suppress(ParseError):
                symbols.relocations(found, section, known)


def splices(data: bytes) -> None:
    """Insert a section and remove it again: the file is as it was."""
    try:
        made = splice.insert(data, b".module_sig", bytes(72), 1, 2, 1)
    except (EditRefused, ParseError):
        return
    index = ElfTable(made).named(b".module_sig")[-1].nr
    try:
        back = splice.remove(made, index)
    except EditRefused as reason:
        raise Broken("not-removable", f"what insert() added cannot be removed: {reason}") from reason
    if back != data:
        raise Broken("splice-identity", f"{len(data)} bytes became {len(back)} others")


def removal(data: bytes) -> None:
    """Remove each section that there is."""
    found = ElfTable(data)
    for section in found.sections[1:24]:
        with suppress(EditRefused, ParseError):
            splice.remove(data, section.nr)


def streams(data: bytes) -> None:
    """Every coverage; where a second implementation gives a stream, it is the same one."""
    image = Image(data)
    for name, coverage in COVERAGES.items():
        try:
            message = coverage.message(image, None)
        except ParseError:
            continue
        made = message.to_bytes()
        if len(made) != message.size:
            raise Broken("stream-size", f"{name}: {message.size} bytes announced, {len(made)} given")
        if name in KNOWN:
            _compare(name, data[: image.end], made)


def _compare(name: str, data: bytes, made: bytes) -> None:
    try:
        other = reference_streams.stream(name, data)
    except (ValueError, IndexError, KeyError, OverflowError):  # it trusts its input
        return
    if made != other:
        raise Broken(
            "stream-differs", f"{name}: {len(made)} bytes, a second implementation gives {len(other)}"
        )


def differences(data: bytes) -> None:
    """compare() with an intact module, both ways."""
    module = decompressed(data, seeds.REGISTRY)
    compare(PLAIN, module).to_json()
    compare(module, PLAIN).to_json()


def checks(data: bytes) -> None:
    """The structural check."""
    sound_relocatable(data)


WORDS = (*(name + b"\0" for name in NAMES if name), b"\x7fELF\2\1\1", b"\x7fELF\1\2\1")

USUAL = Limits()


def _elf(word: str, about: str, run: Callable[[bytes], object], limits: Limits = USUAL) -> Target:
    return Target(f"elf/{word}", about, run, seeds.unsigned, elf, WORDS, (ElfsigError,), limits=limits)


TARGETS = (
    _elf("table", "section table, names, contents, .modinfo, build id", table),
    _elf("relocations", "symbols and relocations", relocations),
    _elf("splice", "insert a section, remove it, compare", splices),
    _elf("removal", "remove any section", removal, Limits(0.2, 40e-6)),
    _elf("check", "structural check", checks),
    _elf("streams", "every coverage, against a second implementation", streams, Limits(0.3, 60e-6)),
    _elf("compare", "compare with an intact module", differences, Limits(0.3, 60e-6)),
)
