"""Changes that need no knowledge of a format, and the numbers that others use too."""

from __future__ import annotations

from random import Random

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 4095, 4096, 65535, 65536)
EXTREMES = (0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def number(chance: Random, bits: int = 64, near: tuple[int, ...] = ()) -> int:
    """A number that programs get wrong: small, a power of two, an extreme, or near one of ``near``."""
    kind = chance.randrange(5 if near else 4)
    if kind == 0:
        value = chance.choice(NUMBERS)
    elif kind == 1:
        value = chance.choice(EXTREMES)
    elif kind == 2:
        value = chance.getrandbits(chance.randint(1, bits))
    elif kind == 3:
        value = 1 << chance.randrange(bits)
    else:
        value = chance.choice(near) + chance.choice((-8, -4, -1, 0, 0, 0, 1, 4, 8))
    return value % (1 << bits)


def _changed(data: bytearray, size: int, chance: Random) -> None:
    at = chance.randrange(len(data) + 1)
    span = chance.choice((1, 1, 2, 4, 4, 8, 16, 64, 512))
    kind = chance.randrange(9)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[at : at + span] = chance.choice((b"\0", b"\xff", b"\x80", b"0", b"\n"))[:1] * span
    elif kind == 2:
        data[at : at + span] = chance.randbytes(span)
    elif kind == 3:
        del data[at : at + span]
    elif kind == 4:
        data[at:at] = data[at : at + span]
    elif kind == 5:
        width = chance.choice((1, 2, 4, 8))
        order = chance.choice(("little", "big"))
        value = number(chance, 8 * width, (len(data), at, len(data) - at))
        data[at : at + width] = value.to_bytes(width, "little" if order == "little" else "big")
    elif kind == 6:
        source = chance.randrange(len(data) + 1)
        data[at:at] = data[source : source + span]
    elif kind == 7:
        del data[at:]
    else:
        _stretch(data, at, size, chance)


def _stretch(data: bytearray, at: int, size: int, chance: Random) -> None:
    """Repeat a few bytes very often: what is worse than linear shows."""
    if chance.randrange(8):
        return
    piece = bytes(data[at : at + chance.choice((1, 1, 2, 4, 8, 16, 32, 64, 128, 256))])
    room = size - len(data)
    if piece and room > 0:
        data[at:at] = piece * (min(room, chance.choice((1 << 10, 1 << 12, 1 << 14, size))) // len(piece))


def plain(data: bytes, size: int, chance: Random) -> bytes:
    """One to four changes."""
    changed = bytearray(data or b"\0")
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        _changed(changed, size, chance)
    return bytes(changed[:size])
