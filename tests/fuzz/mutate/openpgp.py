"""OpenPGP packets (RFC 4880, 4.2): bodies, subpackets, tags and lengths, in old and new form."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutate.plain import number, plain

TAGS = (1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 17, 18, 19, 20, 21, 60, 63, 0)


def packets(data: bytes) -> list[tuple[int, bytes]] | None:
    """The tags and bodies of what ``data`` is throughout; None if it is not. Partial lengths are not read."""
    found, at = [], 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            return None
        if first & 0x40:
            tag, start, size = first & 0x3F, *_new_length(data, at + 1)
        else:
            tag, width = first >> 2 & 0x0F, first & 3
            start = at + 1 + (1 << width)
            size = int.from_bytes(data[at + 1 : start]) if width < 3 else len(data) - at - 1
            start = start if width < 3 else at + 1
        if size < 0 or start + size > len(data):
            return None
        found.append((tag, data[start : start + size]))
        at = start + size
    return found


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    first = data[at] if at < len(data) else 255
    if first < 192:
        return at + 1, first
    if first < 224:
        return at + 2, (first - 192 << 8) + (data[at + 1] if at + 1 < len(data) else 0) + 192
    return (
        (at + 5, int.from_bytes(data[at + 1 : at + 5])) if first == 255 and at + 5 <= len(data) else (at, -1)
    )


def encode(tag: int, body: bytes, chance: Random) -> bytes:
    """One packet, in a form by chance; seldom with a length that is not that of the body."""
    size = len(body) if chance.random() < 0.97 else number(chance, 32, (len(body),))
    form = chance.randrange(5)
    if form < 2 and tag < 16:
        width = 1 if size < 256 else 2 if size < 65536 else 4
        return bytes([0x80 | tag << 2 | (1, 2, 4).index(width)]) + size.to_bytes(width) + body
    if form == 2 and tag < 16:
        return bytes([0x80 | tag << 2 | 3]) + body
    head = bytes([0xC0 | tag & 0x3F])
    if form == 3 and len(body) >= 512:
        return head + b"\xe9" + body[:512] + b"\xff" + (len(body) - 512).to_bytes(4) + body[512:]
    if size < 192:
        return head + bytes([size]) + body
    return head + b"\xff" + size.to_bytes(4) + body


def _body(tag: int, body: bytes, chance: Random) -> bytes:
    """A packet's body with a change; the subpackets of a version 4 signature also one by one."""
    if tag != 2 or len(body) < 6 or body[0] != 4 or chance.random() < 0.4:
        return plain(body, 1 << 12, chance)
    size = int.from_bytes(body[4:6])
    hashed = bytearray(body[6 : 6 + size])
    kind = chance.randrange(4)
    if kind == 0:
        hashed += bytes([2, chance.randrange(128), chance.randrange(256)]) * chance.choice((1, 1, 2, 200))
    elif kind == 1 and hashed:
        hashed[chance.randrange(len(hashed))] = chance.choice((0, 1, 2, 16, 20, 27, 32, 0x80, 0x90, 255))
    elif kind == 2:
        hashed += b"\xff" + number(chance, 32).to_bytes(4)
    else:
        hashed = bytearray(plain(bytes(hashed), 1 << 12, chance))
    return body[:4] + (len(hashed) % 65536).to_bytes(2) + bytes(hashed) + body[6 + size :]


def openpgp(data: bytes, size: int, chance: Random) -> bytes:
    """Change packets; bytes that are no packets are changed as bytes."""
    found = packets(data)
    if not found or chance.random() < 0.1:
        return plain(data, size, chance)
    for _ in range(chance.choice((1, 1, 2))):
        index = chance.randrange(len(found)) if found else 0
        kind = chance.randrange(6)
        if kind < 3 and found:
            found[index] = found[index][0], _body(*found[index], chance)
        elif kind == 3 and found:
            found[index] = chance.choice(TAGS), found[index][1]
        elif kind == 4:
            found[index:index] = found[index : index + 1] * chance.choice((1, 1, 2, 100))
        else:
            found[index : index + 1] = []
    return b"".join(encode(tag, body, chance) for tag, body in found)[:size] or b"\x88"
