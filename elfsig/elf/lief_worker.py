"""The child process in which LIEF edits: ``python -m elfsig.elf.lief_worker FD``.

LIEF's ELF builder can abort the whole process on odd input, and its plain ``write()`` damages relocatable
files: it looks relocation symbols up by name, does not swap the bytes of big-endian relocations, and writes
the section header table without making room for it. So LIEF is given a file whose name table and section
header table are at the end, does not parse relocations and symbols, and sees symbol tables declared as plain
data so that it leaves them unchanged.

The other side of the socket FD is elfsig.elf.lief_engine. A request is three frames (JSON, ELF image,
payload), an answer two (``ok`` or a refusal code; the edited image or a reason); a frame is its length in
8 bytes, big-endian, and its bytes.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
from collections.abc import Mapping
from struct import Struct
from typing import Any

from elfsig.elf.relayout import align_up, numbering, pack_header, pack_rows
from elfsig.elf.table import SHT_NULL, SHT_SYMTAB, ElfTable
from elfsig.errors import ElfsigError

LENGTH = Struct(">Q")
_MEMORY = 4 << 30
_PARSE_NOTHING = (
    "parse_relocations", "parse_dyn_symbols", "parse_notes", "parse_symbol_versions", "parse_symtab_symbols",
)  # fmt: skip


def send(link: socket.socket, *frames: bytes) -> None:
    """Write frames; a closed reader causes an OSError, never a signal."""
    for frame in frames:
        link.sendall(LENGTH.pack(len(frame)), socket.MSG_NOSIGNAL)
        link.sendall(frame, socket.MSG_NOSIGNAL)


def receive(link: socket.socket, count: int) -> list[bytes]:
    """Read ``count`` frames; EOFError when the other side has closed."""
    return [_exactly(link, LENGTH.unpack(_exactly(link, LENGTH.size))[0]) for _ in range(count)]


def _exactly(link: socket.socket, size: int) -> bytes:
    chunks = []
    while size:
        chunk = link.recv(min(size, 1 << 20))
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def prepared(image: bytes, align: int) -> bytes:
    """The same file with name table and section header table moved to the end, where LIEF expects them.

    The name table ends at a multiple of ``align``, since LIEF puts the new section right after it.
    """
    table = ElfTable(image)
    live = [r.end for i, r in enumerate(table.rows) if i != table.shstrndx and r.type != SHT_NULL]
    start = max([table.header.ehsize, *live])
    if table.header.shoff < start:
        start = max(start, table.end)
    names = table.names
    names_at = align_up(start + len(names), align) - len(names)
    shoff = align_up(names_at + len(names), table.layout.word)
    rows = list(table.rows)
    rows[table.shstrndx] = rows[table.shstrndx]._replace(offset=names_at)
    numbers = numbering(table, len(rows), table.shstrndx)
    head = pack_header(image, table, shoff, numbers)
    pads = bytes(names_at - start), bytes(shoff - names_at - len(names))
    headers = pack_rows(table, rows, numbers)
    return b"".join([head, image[len(head) : start], pads[0], names, pads[1], headers])


def _parsed(image: bytes) -> Any:
    """LIEF's view of the file, symbol tables declared as plain data."""
    import lief

    lief.logging.disable()
    config = lief.ELF.ParserConfig()
    for name in _PARSE_NOTHING:
        setattr(config, name, False)
    binary = lief.ELF.parse(image, config)
    if not isinstance(binary, lief.ELF.Binary):
        raise ValueError("cannot parse the file")
    for index in _symbol_tables(image):
        binary.sections[index].type = lief.ELF.Section.TYPE.PROGBITS
    return binary


def _symbol_tables(image: bytes) -> list[int]:
    return [i for i, row in enumerate(ElfTable(image).rows) if row.type == SHT_SYMTAB]


def _written(binary: Any, symbol_tables: list[int]) -> bytes:
    """What LIEF writes: section header table at a multiple of the word size, symbol tables declared again."""
    written = binary.write_to_bytes()
    table = ElfTable(written)
    aligned = align_up(table.header.shoff, table.layout.word)
    if aligned != table.header.shoff:
        binary = _parsed(written)
        binary.header.section_header_offset = aligned
        written = binary.write_to_bytes()
        table = ElfTable(written)
    out = bytearray(written)
    for index in symbol_tables:
        at = table.row_offset(index) + 4
        out[at : at + 4] = Struct(table.layout.order + "I").pack(SHT_SYMTAB)
    return bytes(out[: table.end])


def _insert(image: bytes, payload: bytes, wish: Mapping[str, Any]) -> bytes:
    import lief

    binary = _parsed(prepared(image, wish["align"]))
    section = lief.ELF.Section(wish["name"], lief.ELF.Section.TYPE(wish["type"]))
    section.content = list(payload)
    section.alignment = wish["align"]
    section.flags = wish["flags"]
    if binary.add(section, False, lief.ELF.Binary.SEC_INSERT_POS.POST_SECTION) is None:
        raise ValueError("the section was not added")
    return _written(binary, _symbol_tables(image))


def _remove(image: bytes, payload: bytes, wish: Mapping[str, Any]) -> bytes:
    binary, gone = _parsed(image), wish["index"]
    binary.remove(binary.sections[gone], True)
    return _written(binary, [each - (each > gone) for each in _symbol_tables(image)])


_JOBS = {"insert": _insert, "remove": _remove}


def _answer(request: bytes, image: bytes, payload: bytes) -> tuple[bytes, bytes]:
    wish = json.loads(request)
    try:
        return b"ok", _JOBS[wish["job"]](image, payload, wish)
    except (ElfsigError, ValueError, IndexError, TypeError, RuntimeError) as reason:
        return b"lief-failed", (str(reason) or type(reason).__name__).encode()
    except MemoryError:
        return b"lief-failed", b"out of memory"


def main() -> None:
    """Answer requests until the other side closes the socket."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with socket.socket(fileno=int(sys.argv[1])) as link:
        while True:
            try:
                request = receive(link, 3)
            except EOFError:
                return
            send(link, *_answer(*request))


if __name__ == "__main__":
    main()
