"""The LIEF engine (``--engine lief``): inserts any section as the last one, removes any.

LIEF's removal renumbers neither symbols nor relocations, links and groups: that is done here, after it.

LIEF works in a child process (elfsig.elf.lief_worker), so an abort inside it only causes an
EditRefused; the child is started once and again after a crash. What LIEF is known to damage is refused
beforehand; any other damage is detected by the witness. Every refusal has a stable code:

``lief-shared-names`` section names and symbol names in one string table; ``lief-numbering`` extended
section numbers; ``lief-wide-field`` a field LIEF cuts to 32 bits; ``lief-section`` a type or name that LIEF
cannot give the new section; ``lief-failed`` LIEF refused; ``lief-crashed``; ``lief-timeout``.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from threading import Lock
from typing import Any

from elfsig.elf import lief_worker
from elfsig.elf.check import sound_relocatable
from elfsig.elf.guard import NewSection
from elfsig.elf.relayout import numbering, pack_header
from elfsig.elf.renumber import Removal
from elfsig.elf.table import SHN_XINDEX, SHT_NOTE, SHT_PROGBITS, ElfTable
from elfsig.errors import EditRefused

_TYPES = (SHT_PROGBITS, SHT_NOTE)
_SECONDS = 30.0


def insert(content: bytes, wish: NewSection) -> bytes:
    """``content`` with a new section, which gets the last index; the other sections stay as they are.

    Raises ParseError and EditRefused.
    """
    table = _editable(content)
    if wish.type not in _TYPES or not wish.name.isascii() or b"\0" in wish.name or not wish.name:
        text = f"LIEF cannot give a section the name {wish.name!r} or type {wish.type}"
        raise EditRefused(text, code="lief-section")
    if not 0 < wish.align <= 4096 or wish.align & (wish.align - 1) or wish.flags >> 32:
        text = f"LIEF cannot give a section alignment {wish.align} or flags {wish.flags:#x}"
        raise EditRefused(text, code="lief-section")
    request = {"job": "insert", **wish._asdict(), "name": wish.name.decode(), "payload": len(wish.payload)}
    edited = _WORKER.ask(request, content[: table.end], wish.payload)
    return edited + content[table.end :]


def remove(content: bytes, index: int) -> bytes:
    """``content`` without section ``index``, whose bytes remain in the file as zeros.

    Raises ParseError and EditRefused, the latter with code ``section-in-use`` when something else in the
    file depends on the section.
    """
    table = _editable(content)
    if not 0 < index < len(table.rows):
        raise EditRefused(f"there is no section [{index}] to remove", code="no-section")
    removal = Removal(table, index)
    edited = _WORKER.ask({"job": "remove", "index": index}, content[: table.end], b"")
    return _renumbered(edited, removal) + content[table.end :]


def _renumbered(edited: bytes, removal: Removal) -> bytes:
    """What LIEF wrote, with every number of a section or symbol after the removed one corrected.

    LIEF renumbers nothing. Contents keep their places: none of them grows.
    """
    out, after = bytearray(edited), ElfTable(edited)
    if len(after.rows) != len(removal.rows) - 1:
        raise EditRefused("LIEF did not remove one section", code="lief-failed")
    for old, row in enumerate(removal.rows):
        if old == removal.gone:
            continue
        new = removal.index(old)
        blob, now = removal.contents.get(old), after.rows[new]
        row = row._replace(name=now.name, offset=now.offset, size=now.size if blob is None else len(blob))
        if blob is not None:
            out[now.offset : now.offset + now.size] = blob.ljust(now.size, b"\0")
        at = after.row_offset(new)
        out[at : at + after.layout.row.size] = after.layout.row.pack(*row)
    numbers = numbering(removal.table, len(after.rows), removal.index(removal.table.shstrndx))
    head = pack_header(bytes(out), after, after.header.shoff, numbers)
    return head + bytes(out[len(head) :])


def _editable(content: bytes) -> ElfTable:
    """The table of a file that LIEF is known to edit correctly."""
    table = sound_relocatable(content)
    head = table.header
    if not head.shnum or head.shstrndx == SHN_XINDEX:
        raise EditRefused("LIEF does not support extended section numbers", code="lief-numbering")
    for index, row in enumerate(table.rows[1:], 1):
        at = table.row_offset(index)
        if row.link == table.shstrndx:
            text = f"section [{index}] keeps its names with the section names, which LIEF rewrites"
            raise EditRefused(text, offset=at, code="lief-shared-names")
        if (row.flags | row.entsize | row.align) >> 32:
            text = f"section [{index}] {table.sections[index].text} has fields beyond 32 bits"
            raise EditRefused(text, offset=at, code="lief-wide-field")
    return table


class _Worker:
    """The child process: started when it is first needed, again after it died."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._owner = 0

    def ask(self, request: dict[str, Any], image: bytes, payload: bytes) -> bytes:
        """The edited image. Raises EditRefused with the reason if there is none."""
        with self._lock:
            link = self._started()
            try:
                lief_worker.send(link, json.dumps(request).encode(), image, payload)
                status, body = lief_worker.receive(link, 2)
            except TimeoutError:
                self.stop()
                text = f"LIEF took longer than {_SECONDS:.0f} seconds"
                raise EditRefused(text, code="lief-timeout") from None
            except (EOFError, OSError):
                raise EditRefused(f"LIEF crashed ({self.stop()})", code="lief-crashed") from None
        if status != b"ok":
            raise EditRefused(f"LIEF: {body.decode('utf-8', 'replace')}", code=status.decode())
        return body

    def _started(self) -> socket.socket:
        if self._link is not None and self._owner == os.getpid():
            return self._link
        ours, theirs = socket.socketpair()
        ours.settimeout(_SECONDS)
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", lief_worker.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )
        self._link, self._owner = ours, os.getpid()
        return ours

    def stop(self) -> str:
        """End the child; returns how it ended."""
        process, link = self._process, self._link
        self._process = self._link = None
        if link is not None:
            link.close()
        if process is None or self._owner != os.getpid():
            return "not running"
        try:
            code = process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"


_WORKER = _Worker()
atexit.register(_WORKER.stop)
