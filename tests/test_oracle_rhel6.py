"""A genuine kernel of RHEL 6, booted in an emulator, as judge; and what it takes to boot one.

    ELFSIG_RHEL6_KERNEL=vmlinuz-2.6.32-504.el6.x86_64 python -m pytest tests/test_oracle_rhel6.py

The kernel is not part of this project. tests/golden/ksign_504.tsv holds the answers of that release.
"""

from __future__ import annotations

import struct
import zlib

import pytest

from tests.oracle import report as reports
from tests.oracle.rhel6 import Image, Rhel6Judge, kernel, word
from tests.support import ksign_files
from tests.support.notes import Note

pytestmark = pytest.mark.booted

RING = ksign_files.ring()
LOADED_AT, ADDRESS = 0x1000, 0x81000000


def test_a_kernel_of_rhel6_answers_as_predicted(note: Note) -> None:
    judge = Rhel6Judge(kernel(), ksign_files.files(), ksign_files.ring())
    assert [str(each) for each in judge.differences()] == []
    words = set(judge.column().values())
    assert words >= {"passed, passed", "ELIBBAD, ELIBBAD", "ENOKEY, ENOKEY", "EKEYREJECTED, EKEYREJECTED"}
    note(f"{judge.release}: {judge.summary}")


# --------------------------------------------------------------------------- the machinery itself


def vmlinux(ring: bytes, *, code: bytes | None = None) -> bytes:
    """A 64-bit ELF file with one segment: code that hands the ring to a function, and the ring."""
    if code is None:
        code = (
            b"\xbe"
            + struct.pack("<I", len(ring))
            + b"\x48\xc7\xc7"
            + struct.pack("<I", ADDRESS + 64)
            + b"\xe8"
        )
    content = code.ljust(64, b"\x90") + ring + b"the rest of the kernel"
    head = bytearray(LOADED_AT)
    head[:4] = b"\x7fELF"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<H", head, 56, 1)
    row = (1, 5, LOADED_AT, 0xFFFFFFFF00000000 + ADDRESS, 0, len(content))
    struct.pack_into("<IIQQQQ", head, 64, *row)
    return bytes(head) + content


def bzimage(content: bytes, *, spare: int = 4096) -> bytes:
    """A boot image with ``content`` as its payload and ``spare`` bytes of room after it."""
    work = zlib.compressobj(9, zlib.DEFLATED, 31)
    payload = work.compress(content) + work.flush()
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 16, len(payload) + spare)
    return bytes(head) + b"decompressor....".ljust(16) + payload.ljust(len(payload) + spare, b"\0") + b"end"


def test_a_ring_is_replaced_in_its_own_place() -> None:
    old = RING + b"\xa9\0\x30" + bytes(48)
    image = bzimage(vmlinux(old))
    changed = Image(image).with_ring(RING)
    assert len(changed) == len(image) and changed[:1040] == image[:1040] and changed.endswith(b"end")
    found = zlib.decompress(changed[1040:-3], 31)
    assert found == vmlinux(RING + b"\xa9\0\x30" + bytes(48), code=found[LOADED_AT : LOADED_AT + 64])
    assert Image(changed).ring() == Image(image).ring() == (LOADED_AT + 64, len(old))


@pytest.mark.parametrize(
    ("image", "keys", "words"),
    [
        (bytes(1024), RING, "not a bzImage"),
        (bzimage(vmlinux(RING, code=b"")), RING, "no ring of OpenPGP keys"),
        (bzimage(vmlinux(b"\x99" + bytes(600))), RING, "no ring of OpenPGP keys"),
        (bzimage(vmlinux(RING)), RING, "do not fit"),
    ],
)
def test_an_image_that_cannot_take_a_ring(image: bytes, keys: bytes, words: str) -> None:
    with pytest.raises(reports.BootFailed, match=words):
        Image(image).with_ring(keys)


def test_a_machine_that_dies_names_the_file_that_it_was_asked_about() -> None:
    asked = "mode\tas-booted\tnone\t-\nasking\t0000\nanswer\t0000\t8\nlog\ta\nasking\t0001\nans"
    text = f"\nbegin\nrelease\t2.6.32\n{asked}"
    assert reports.parse(text) is None and reports.parse("noise", whole=False) is None
    found = reports.parse(text, whole=False)
    assert found is not None and found.asking == "0001"
    assert found.answers["as-booted"] == {"0000": reports.Answer("ENOEXEC", ("a",), None)}


@pytest.mark.parametrize(
    ("errno", "log", "expected"),
    [
        (None, (), "passed"),
        (
            "ENOEXEC",
            ("sample: version magic '' should be '2.6.32-504.el6.x86_64 SMP '",),
            "passed",
        ),
        ("ENOEXEC", (), "ENOEXEC"),
        ("ELIBBAD", ("Module format error encountered",), "ELIBBAD"),
        ("died", (), "died"),
    ],
)
def test_what_the_signature_check_said(errno: str | None, log: tuple[str, ...], expected: str) -> None:
    assert word(reports.Answer(errno, log, None)) == expected
