"""Files that make a file system use all its structures, written as programs write them."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
from contextlib import suppress
from pathlib import Path

SIZES = (
    0, 1, 59, 60, 61, 100, 159, 160, 161, 511, 512, 513, 1023, 2000, 2048, 3000, 4095, 4096, 4097, 8192,
    65536, 131072, 131073, 300000, 1 << 20,
)  # fmt: skip
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 0x10, 0x20
ALLOCATIONS = (
    (0, 0, 500_000), (KEEP_SIZE, 0, 900_000), (PUNCH_HOLE | KEEP_SIZE, 8192, 100_000),
    (PUNCH_HOLE | KEEP_SIZE, 100, 5), (COLLAPSE_RANGE, 4096, 8192), (INSERT_RANGE, 4096, 8192),
    (ZERO_RANGE, 5000, 90_000),
)  # fmt: skip
"""Mode, offset and length for fallocate."""
IMA = b"\x03\x02\x04" + bytes(range(200))
"""So long that squashfs stores it once for several files."""


def fill(folder: Path, seed: int) -> None:
    """Make them in ``folder``. What its file system cannot do is left out."""
    chance = random.Random(seed)
    _contents(folder / "sizes", chance)
    _changed(folder / "changed", chance)
    _directories(folder / "directories", chance)
    _names(folder / "names", chance)


def _data(chance: random.Random, size: int) -> bytes:
    """Some of it can be compressed, some cannot."""
    parts = (
        chance.choice((chance.randbytes(100), bytes(100), b"elfsig " * 14)) for _ in range(size // 98 + 1)
    )
    return b"".join(parts)[:size]


def _contents(folder: Path, chance: random.Random) -> None:
    """Of all sizes, with holes, and written by turns, so that their blocks are scattered."""
    folder.mkdir()
    for size in SIZES:
        (folder / str(size)).write_bytes(_data(chance, size))
    for number in range(5):
        with (folder / f"holes{number}").open("wb") as out:
            out.truncate(chance.randrange(1, 3 << 20))
            for _ in range(number):
                out.seek(chance.randrange(2 << 20))
                out.write(_data(chance, chance.randrange(1, 20_000)))
    streams = [(folder / f"turns{number}").open("wb") for number in range(4)]
    for turn in range(40):
        for stream in streams:
            stream.write(_data(chance, chance.randrange(1, 9000)))
            stream.flush()
            if turn % 4 == 0:
                os.fsync(stream.fileno())
    for stream in streams:
        stream.close()


def _changed(folder: Path, chance: random.Random) -> None:
    """Overwritten, cut, extended, with space reserved or taken out, and copied by reference."""
    folder.mkdir()
    for number in range(4):
        path = folder / f"over{number}"
        path.write_bytes(_data(chance, 600_000))
        with path.open("r+b") as stream:
            os.fsync(stream.fileno())
            for _ in range(15):
                stream.seek(chance.randrange(600_000))
                stream.write(_data(chance, chance.randrange(1, 70_000)))
                stream.flush()
                os.fsync(stream.fileno())
        os.truncate(path, chance.randrange(1, 700_000))
        copy = folder / f"reference{number}"
        if not subprocess.run(["cp", "--reflink=always", path, copy], capture_output=True).returncode:
            with copy.open("r+b") as stream:
                stream.seek(chance.randrange(1, 300_000))
                stream.write(_data(chance, 5000))
    library = ctypes.CDLL(None, use_errno=True)
    for number, (mode, offset, size) in enumerate(ALLOCATIONS):
        with (folder / f"reserved{number}").open("w+b") as stream:
            stream.write(_data(chance, 300_000))
            stream.flush()
            os.fsync(stream.fileno())
            library.fallocate64(stream.fileno(), mode, ctypes.c_int64(offset), ctypes.c_int64(size))
    with (folder / "reserved").open("wb") as stream:
        library.fallocate64(stream.fileno(), 0, ctypes.c_int64(0), ctypes.c_int64(400_000))
        os.pwrite(stream.fileno(), _data(chance, 5000), 100_000)
        os.pwrite(stream.fileno(), _data(chance, 5000), 395_000)


def _directories(folder: Path, chance: random.Random) -> None:
    """Of few and many names, of which some were removed and some renamed; and one emptied again."""
    for count in (3, 60, 3000):
        names = [f"{'n' * chance.randrange(1, 120)}{number}" for number in range(count)]
        (folder / str(count)).mkdir(parents=True)
        for name in names:
            (folder / str(count) / name).write_bytes(name.encode())
        for name in chance.sample(names, count // 2):
            (folder / str(count) / name).unlink()
            names.remove(name)
        for name in chance.sample(names, count // 10):
            (folder / str(count) / name).rename(folder / str(count) / f"re-{name}")
    emptied = folder / "emptied"
    emptied.mkdir()
    for number in range(300):
        (emptied / f"{number:0200d}").touch()
    for path in list(emptied.iterdir()):
        path.unlink()


def _names(folder: Path, chance: random.Random) -> None:
    """Deep, strange and linked; two with attributes."""
    deep = folder.joinpath(*(f"d{number}" for number in range(40)))
    deep.mkdir(parents=True)
    (deep / "x.ko").write_bytes(_data(chance, 5000))
    os.link(deep / "x.ko", folder / "hard.ko")
    for size in (5, 59, 60, 200, 700, 1000):
        (folder / f"link{size}").symlink_to("/".join(["abcdefgh"] * (size // 9 + 1))[:size])
    (folder / "to").symlink_to("../sizes/4097")
    for name in (b"\xff\xfe.ko", "näme €.ko".encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    (folder / "few.ko").write_bytes(b"few")
    with suppress(OSError):
        os.setxattr(folder / "few.ko", "security.ima", IMA)
        os.setxattr(folder / "hard.ko", "security.ima", IMA)
        for number in range(3):
            os.setxattr(folder / "hard.ko", f"user.{number}", _data(chance, 200))
