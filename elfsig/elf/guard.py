"""The witness: reads a file before and after an edit with pyelftools, and proves that nothing else changed.

It shares no code with the editors. Names, order, type, flags, address, size, link, info, alignment, entry
size and content of every other section, every symbol and relocation, and the ELF header must be the same,
apart from the renumbering that the edit makes necessary; so must the bytes after the ELF image. Sections may
move within the file, keeping their alignment. Finally the result must pass the pre-check.
"""

from __future__ import annotations

from typing import NamedTuple

from elfsig.elf.check import sound_relocatable
from elfsig.elf.witness import NumberMap, Seen, WitnessedFile, content_same
from elfsig.errors import EditRefused, ParseError

_STAY = ("sh_type", "sh_flags", "sh_addr", "sh_addralign", "sh_entsize")
_MAY_CHANGE = {"e_ident", "e_shoff", "e_shnum", "e_shstrndx"}


class NewSection(NamedTuple):
    """The section to be inserted; ``type``, ``flags`` and ``align`` as in its section header."""

    name: bytes
    payload: bytes
    type: int
    flags: int
    align: int


def prove_inserted(before: bytes, after: bytes, wish: NewSection) -> None:
    """Raises EditRefused unless ``after`` is ``before`` with one more section, the last one, as requested."""
    old, new = WitnessedFile(before), WitnessedFile(after)
    index = len(old.sections)
    _same_number(index + 1, len(new.sections))
    _compare(old, new, NumberMap(old, None))
    seen = new.sections[index]
    header = seen.header
    got = NewSection(
        seen.name, bytes(seen.content), new.raw_type(index), header["sh_flags"], header["sh_addralign"]
    )
    if got != wish:
        raise _differs(f"section [{index}] is not the requested one")
    empty = [header[field] for field in ("sh_addr", "sh_link", "sh_info", "sh_entsize")]
    if any(empty) or header["sh_offset"] % wish.align or header["sh_size"] != len(wish.payload):
        raise _differs(f"section [{index}] is misplaced or has fields set that should be empty")
    _sound(after)


def prove_removed(before: bytes, after: bytes, gone: int) -> None:
    """Raises EditRefused unless ``after`` is ``before`` without section ``gone``, and its section symbol."""
    old, new = WitnessedFile(before), WitnessedFile(after)
    _same_number(len(old.sections) - 1, len(new.sections))
    _compare(old, new, NumberMap(old, gone))
    _sound(after)


def _differs(what: str) -> EditRefused:
    return EditRefused(f"the edit would change more than it should: {what}", code="witness-differs")


def _same_number(expected: int, got: int) -> None:
    if got != expected:
        raise _differs(f"{got} sections instead of {expected}")


def _sound(after: bytes) -> None:
    try:
        sound_relocatable(after)
    except ParseError as fault:
        raise _differs(f"the result is damaged: {fault}") from None


def _compare(old: WitnessedFile, new: WitnessedFile, numbers: NumberMap) -> None:
    if old.ident != new.ident:
        raise _differs("e_ident")
    if old.tail != new.tail:
        raise _differs("the bytes after the ELF image")
    for field, value in old.header.items():
        if field not in _MAY_CHANGE and new.header[field] != value:
            raise _differs(f"{field} of the ELF header")
    if numbers.section(old.shstrndx) != new.shstrndx:
        raise _differs("e_shstrndx")
    for index, seen in enumerate(old.sections):
        to = numbers.section(index)
        if to is not None:
            _compare_section(old, new, index, to, numbers)
            if not content_same(old, new, index, to, numbers):
                raise _differs(f"content of section [{index}] {seen.text}")


def _compare_section(old: WitnessedFile, new: WitnessedFile, index: int, to: int, numbers: NumberMap) -> None:
    was, now = old.sections[index], new.sections[to]
    label = f"section [{index}] {was.text}"
    if was.name != now.name:
        raise _differs(f"name of {label}")
    for field in _STAY:
        if was.header[field] != now.header[field]:
            raise _differs(f"{field} of {label}")
    if not index:
        return  # its size and link are the extended section numbers, compared as such
    if index != old.shstrndx and numbers.size(was) != now.header["sh_size"]:
        raise _differs(f"sh_size of {label}")
    if numbers.section(was.header["sh_link"]) != now.header["sh_link"]:
        raise _differs(f"sh_link of {label}")
    if numbers.info(was) != now.header["sh_info"]:
        raise _differs(f"sh_info of {label}")
    if _misaligned(now) and not _misaligned(was):
        raise _differs(f"alignment of {label} in the file")


def _misaligned(seen: Seen) -> bool:
    return bool(seen.header["sh_offset"] % (seen.header["sh_addralign"] or 1))
