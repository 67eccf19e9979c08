"""ELF files by their fields, and what is appended to modules: headers, names, symbols, trailers."""

from __future__ import annotations

import struct
from random import Random
from typing import NamedTuple

from tests.fuzz.mutate.der import der
from tests.fuzz.mutate.plain import number, plain

MARKER = b"~Module signature appended~\n"
MAGIC = b"This Is A Crypto Signed Module"
TRAILER = 12
NAMES = (
    b"module_sig",
    b".module_sig",
    b".module.sig",
    b".note.module.sig",
    b".modinfo",
    b".symtab",
    b".strtab",
    b".text",
    b".init.text",
    b".data",
    b".rela.text",
    b".rel.text",
    b".note.gnu.build-id",
    b".signature",
    b".gnu.linkonce.this_module",
    b".shstrtab",
    b"",
)


class Shape(NamedTuple):
    """Where the fields of an ELF file's header and of its section headers are."""

    wide: bool
    order: str
    header: tuple[tuple[int, int], ...]
    row: tuple[tuple[int, int], ...]
    row_size: int
    table: int
    rows: int


def _fields(sizes: str, start: int = 0) -> tuple[tuple[int, int], ...]:
    found = []
    for size in map(int, sizes):
        found.append((start, size))
        start += size
    return tuple(found)


def shape(data: bytes) -> Shape | None:
    """The fields of an ELF file, None if its header is too short or its table is elsewhere."""
    if len(data) < 64 or data[:4] != b"\x7fELF":
        return None
    wide, order = data[4] == 2, ">" if data[5] == 2 else "<"
    header = _fields("2248884222222" if wide else "2244444222222", 16)
    row = _fields("4488884488" if wide else "4444444444")
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 40 if wide else 32)
    (count,) = struct.unpack_from(order + "H", data, 60 if wide else 48)
    size = 64 if wide else 40
    if table + size > len(data):
        return None
    return Shape(wide, order, header, row, size, table, max(1, min(count, (len(data) - table) // size)))


def _put(data: bytearray, at: int, size: int, value: int, order: str) -> None:
    data[at : at + size] = value.to_bytes(size, "big" if order == ">" else "little")


def _header_field(data: bytearray, found: Shape, chance: Random) -> None:
    at, size = chance.choice(found.header)
    _put(data, at, size, number(chance, 8 * size, (len(data), found.table, found.rows)), found.order)


def _row_field(data: bytearray, found: Shape, chance: Random) -> None:
    start = found.table + chance.randrange(found.rows) * found.row_size
    at, size = chance.choice(found.row)
    old = int.from_bytes(data[start + at : start + at + size], "big" if found.order == ">" else "little")
    near = (len(data), old, found.table, found.rows)
    _put(data, start + at, size, number(chance, 8 * size, near), found.order)


def _swap_rows(data: bytearray, found: Shape, chance: Random) -> None:
    one, other = (found.table + chance.randrange(found.rows) * found.row_size for _ in range(2))
    size = found.row_size
    first, second = data[one : one + size], data[other : other + size]
    if len(first) == len(second) == size and abs(one - other) >= size:
        data[one : one + size], data[other : other + size] = second, first


def _copy_row(data: bytearray, found: Shape, chance: Random) -> None:
    """One more section header, a copy of another, at the end of the table."""
    start = found.table + chance.randrange(found.rows) * found.row_size
    end = found.table + found.rows * found.row_size
    data[end:end] = data[start : start + found.row_size]
    _put(data, 60 if found.wide else 48, 2, (found.rows + 1) % (1 << 16), found.order)


def _rename(data: bytearray, found: Shape, chance: Random) -> None:
    """Put a name that means something over one in the file, or let a section have another's name."""
    if chance.random() < 0.5:
        start = found.table + chance.randrange(found.rows) * found.row_size
        other = found.table + chance.randrange(found.rows) * found.row_size
        data[start : start + 4] = data[other : other + 4]
        return
    at = data.find(b"." + chance.choice((b"text", b"data", b"bss", b"strtab", b"comment", b"note")))
    if at >= 0:
        name = chance.choice(NAMES) + b"\0"
        data[at : at + len(name)] = name


def _in_content(data: bytearray, found: Shape, chance: Random) -> None:
    """Change a number in some section: symbols, relocations, notes, groups are made of numbers."""
    start = found.table + chance.randrange(found.rows) * found.row_size
    word = "Q" if found.wide else "I"
    if start + found.row_size > len(data):
        return
    at, size = struct.unpack_from(found.order + word * 2, data, start + (24 if found.wide else 16))
    if at < len(data) and 0 < size <= len(data):
        width = chance.choice((1, 2, 4, 8))
        where = at + chance.randrange(size) // width * width
        _put(data, where, width, number(chance, 8 * width, (size, len(data))), found.order)


FIELDS = (_header_field, _row_field, _row_field, _row_field, _swap_rows, _copy_row, _rename, _in_content)


def elf(data: bytes, size: int, chance: Random) -> bytes:
    """Change the structure of an ELF file; other bytes are changed as bytes."""
    found = shape(data)
    if found is None or chance.random() < 0.1:
        return plain(data, size, chance)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choice(FIELDS)(changed, found, chance)
    return bytes(changed[:size])


# --------------------------------------------------------------------------- trailers


def trailer(blob: bytes, chance: Random) -> bytes:
    """``blob`` with a trailer, mostly a right one."""
    fields = bytearray((0, 0, chance.choice((2, 2, 2, 1, 0, 3)), 0, 0, 0, 0, 0))
    length = len(blob)
    if chance.random() < 0.3:
        fields[chance.randrange(8)] = chance.randrange(256)
    if chance.random() < 0.2:
        length = number(chance, 32, (length,))
    marker = MARKER if chance.random() < 0.95 else plain(MARKER, 40, chance)
    return blob + bytes(fields) + length.to_bytes(4) + marker


def _split(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The module, the blob and the twelve bytes of a trailer that ends ``data``."""
    if not data.endswith(MARKER) or len(data) < TRAILER + len(MARKER):
        return None
    end = len(data) - len(MARKER) - TRAILER
    length = int.from_bytes(data[end + 8 : end + TRAILER])
    return (
        (data[: end - length], data[end - length : end], data[end : end + TRAILER]) if length <= end else None
    )


def module(data: bytes, size: int, chance: Random) -> bytes:
    """Change a signed module: the ELF file, the signature, or the trailer, the rest as it was."""
    kind = chance.randrange(8)
    found = _split(data)
    if found is None:
        if kind == 0:
            return (data + trailer(chance.randbytes(chance.choice((0, 1, 64, 256))), chance))[:size]
        return elf(data, size, chance)
    content, blob, fields = found
    if kind < 3:
        content = elf(content, max(64, size - len(blob) - 40), chance)
    elif kind < 6:
        blob = der(blob, 1 << 13, chance)
        fields = fields[:8] + len(blob).to_bytes(4)
    elif kind == 6:
        return (content + trailer(blob, chance))[:size]
    else:
        content += blob + fields + MARKER
    return (content + blob + fields + MARKER)[:size]
