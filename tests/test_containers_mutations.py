"""Every built-in reader with bytes changed, cut, repeated and removed: errors in records, no exceptions."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable

import pytest

from elfsig.containers.contract import Budget, Context
from elfsig.containers.registry import BUILTIN
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ContainerError
from tests.support.behind import appimage, script
from tests.support.compressed import COMPRESSORS, compress
from tests.support.containers import FILE, forward, taken
from tests.support.cpio import newc
from tests.test_containers import ar
from tests.test_containers_archives import alpine, zipped
from tests.test_containers_boot import boot1, boot4, several, uimage, vendor4
from tests.test_containers_cpio import small as crc
from tests.test_containers_rpm import recipe
from tests.test_containers_tar import small as tar

INNER = newc({"lib/a.ko": b"module" * 50, "b": b"second"})
CODES = ("damaged", "truncated", "trailing-data", "over-budget", "encrypted", "unsupported")
HUGE = b"\x80" + bytes(7) + b"\xff" * 4
PACKED = gzip.compress(tar())
SAMPLES: dict[str, Callable[[], bytes]] = {
    "ar": lambda: ar((b"debian-binary", b"2.0\n"), (b"#1/9", b"long namex"), (b"data.tar.gz", PACKED)),
    "tar": tar,
    "cpio": lambda: crc("crc") + bytes(4) + compress("zstd", INNER),
    "rpm": lambda: recipe(signatures=[b"0302", b"03", b"0302"]),
    "rpm-stripped": lambda: recipe(stripped=True),
    "apk": alpine,
    "zip": zipped,
    "android-1": lambda: boot1(b"kernel", INNER),
    "android-4": lambda: boot4(b"kernel", gzip.compress(INNER)),
    "vendor": lambda: vendor4(INNER, gzip.compress(INNER)),
    "uimage": lambda: uimage(PACKED, 3),
    "uimage-multi": lambda: uimage(several(INNER, b"kernel", PACKED), 4),
    "script": lambda: script(PACKED),
    "appimage": lambda: appimage(PACKED),
    "padded": lambda: bytes(512) + INNER,
    **{name: lambda name=name: compress(name, INNER) for name in COMPRESSORS},  # type: ignore[misc]
}  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to three changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at, size = chance.randrange(len(changed)), chance.choice((1, 1, 2, 4, 4, 8, 100))
        kind = chance.randrange(6)
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at : at + size] = chance.choice((b"\0", b"\xff", b"7", b"\x80"))[:1] * size
        elif kind == 2:
            changed[at : at + size] = chance.randbytes(size)
        elif kind == 3:
            del changed[at : at + size]
        elif kind == 4:
            changed[at:at] = changed[at : at + size]
        else:
            del changed[max(at, 16) :]
        if len(changed) < 16:
            return data[:16]
    return bytes(changed)


@pytest.mark.parametrize("name", SAMPLES)
def test_mutations_are_errors_and_nothing_else(name: str) -> None:
    data, chance = SAMPLES[name](), random.Random(name)
    for _ in range(150):
        context = Context(Budget(output=64 << 20, members=10_000, seconds=20))
        for found in walk(forward(mutated(data, chance), 4096), FILE, context):
            if isinstance(found, ContainerRecord):
                error = found.error
                assert error is None or error.code in (
                    "damaged", "truncated", "trailing-data", "over-budget", "encrypted", "unsupported",
                    "unrecognised",
                ), error  # fmt: skip
            elif found.member.reader is not None:
                try:
                    found.member.reader.all(128 << 20)
                except ContainerError as error:
                    assert error.code in ("damaged", "truncated", "over-budget", "unsupported", "encrypted")


def test_headers_of_tar_with_any_fields_and_a_right_checksum() -> None:
    data, chance = tar(), random.Random(7)
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(600):
        changed, at = bytearray(data), chance.choice(headers)
        for _ in range(chance.randint(1, 3)):
            where = at + chance.choice((0, 100, 124, 124, 130, 156, 156, 157, 257, 345, 386, 482, 483))
            value = chance.choice(
                (b"\x80" + bytes(7) + b"\xff" * 4, b"S", b"x", b"L", b"1", b"777", b"-1", b"\xff" * 12)
            )
            changed[where : where + len(value)] = value
        block = bytearray(changed[at : at + 512])
        block[148:156] = b" " * 8
        changed[at + 148 : at + 156] = b"%06o\0 " % sum(block)
        _, records = taken(bytes(changed))
        error = records[-1].error
        assert error is None or error.code in (
            "damaged",
            "truncated",
            "trailing-data",
            "over-budget",
            "unsupported",
        )


def test_every_builtin_is_mutated() -> None:
    """By its id: unified images and what is only named have tests of their own."""
    kinds = {found.kind for make in SAMPLES.values() for found in walk(forward(make()), FILE)
             if isinstance(found, ContainerRecord)}  # fmt: skip
    own = {
        "android-boot",
        "appimage",
        "ar",
        "apk",
        "script",
        "cpio",
        "initramfs",
        "rpm",
        "tar",
        "uimage",
        "zip",
        *COMPRESSORS,
    }
    assert kinds == own
    assert own | {"uki", "ar-thin", "apk-v3"} <= {each.id for each in BUILTIN}
