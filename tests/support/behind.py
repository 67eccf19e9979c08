"""Programs before archives, by recipe: a script, and an AppImage of type 2."""

from __future__ import annotations

import struct

TEXT = b"#!/bin/sh\n# unpacks what follows\ntail -n +5 $0 | gzip -cd | tar -x\nexit 0\n"


def script(archive: bytes, text: bytes = TEXT) -> bytes:
    return text + archive


def appimage(image: bytes, *, wide: bool = True) -> bytes:
    """An ELF program of one section before ``image``: of 64 or 32 bits."""
    form, size, entry = ("<HHIQQQIHHHHHH", 64, 64) if wide else ("<HHIIIIIHHHHHH", 52, 40)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1, 0]) + b"AI\x02" + bytes(5)
    header = ident + struct.pack(form, 2, 62 if wide else 3, 1, 0, 0, 80, 0, size, 0, 0, entry, 1, 0)
    return header.ljust(80, b"\0") + bytes(entry) + image
