"""Archives by their headers: the fields of cpio and tar, whose checksums are made right again."""

from __future__ import annotations

import re
from random import Random

from tests.fuzz.mutate.plain import number, plain

_NEWC = re.compile(rb"07070[12]")
_TAR_FIELDS = (
    (0, 100),
    (100, 8),
    (124, 12),
    (124, 12),
    (136, 12),
    (156, 1),
    (156, 1),
    (157, 100),
    (257, 8),
    (345, 155),
    (386, 12),
    (482, 1),
    (483, 12),
)
_TAR_VALUES = (
    b"\x80" + bytes(7) + b"\xff" * 4,
    b"\xff" * 12,
    b"S",
    b"x",
    b"g",
    b"L",
    b"K",
    b"1",
    b"2",
    b"5",
    b"777",
    b"-1",
    b"00000000000\0",
    b"77777777777\0",
    b"../../x",
    b"GNU.sparse.major=1",
    b"ustar  \0",
)
_PAX = (
    b"path=",
    b"size=",
    b"linkpath=",
    b"GNU.sparse.map=",
    b"GNU.sparse.realsize=",
    b"SCHILY.xattr.security.ima=",
)


def cpio(data: bytes, size: int, chance: Random) -> bytes:
    """Change a hexadecimal field of a newc header."""
    heads = [m.start() for m in _NEWC.finditer(data)]
    if not heads or chance.random() < 0.25:
        return plain(data, size, chance)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.choice(heads) + 6 + 8 * chance.randrange(13)
        if chance.random() < 0.9:
            changed[at : at + 8] = b"%08x" % number(chance, 32, (len(data), len(data) - at))
        else:
            changed[at : at + 8] = chance.choice(
                (b"-0000001", b"0x000001", b"        ", b"+0000010", b"1_000000")
            )
    return bytes(changed[:size])


def tar(data: bytes, size: int, chance: Random) -> bytes:
    """Change fields of a header, and give it a right checksum."""
    heads = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not heads or chance.random() < 0.15:
        return plain(data, size, chance)
    changed = bytearray(data)
    at = chance.choice(heads)
    kind = chance.randrange(8)
    if kind == 0:
        key = chance.choice(_PAX)
        value = chance.choice((b"1", b"-1", b"9" * 30, b"x" * 200, b"0,1,5,1", b"1,1," * 40))
        line = b" " + key + value + b"\n"
        changed[at + 512 : at + 1024] = (b"%d" % (len(line) + 2) + line).ljust(512, b"\0")[:512]
        changed[at + 156 : at + 157] = b"x"
    for _ in range(chance.randint(1, 3)):
        start, width = chance.choice(_TAR_FIELDS)
        value = chance.choice(_TAR_VALUES)
        if chance.random() < 0.4:
            value = b"%0*o\0" % (width - 1, number(chance, 33, (len(data),)))
        changed[at + start : at + start + width] = value[:width].ljust(width, b"\0")
    if chance.random() < 0.95:
        block = bytearray(changed[at : at + 512])
        block[148:156] = b" " * 8
        changed[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(changed[:size])
