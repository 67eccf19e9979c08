"""A kernel of RHEL 6 as judge of modules signed in its era.

The kernel is not part of this project: ELFSIG_RHEL6_KERNEL is the path of a vmlinuz 2.6.32-*.el6.x86_64. It
runs unchanged, except for its ring of OpenPGP keys: that of the files takes its place, in the same bytes of
the image. A file that stops the machine is reported so, and the machine is started again after it.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from elfsig.errors import KeySourceError
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode, Prediction
from elfsig.kernels.select import for_release
from elfsig.trust.entries import Material
from elfsig.trust.openpgp import read
from elfsig.trust.ring import Ring
from tests.oracle.compare import Difference
from tests.oracle.emulator import Emulator
from tests.oracle.initramfs import Archive
from tests.oracle.report import Answer, BootFailed, Report, parse
from tests.support.opened import opened
from tests.support.tools import need

KERNEL = "ELFSIG_RHEL6_KERNEL"
INIT = Path(__file__).with_name("rhel6_init.c")
COMMAND_LINE = "console=ttyS0,115200 panic=1 oops=panic loglevel=4 raid=noautodetect"
ENFORCE = "enforcemodulesig=1"
SILENCE = 60
"""Seconds after which a machine that prints nothing has stopped."""
DIED = "died"

LATER = re.compile(
    r".*(version magic|no symbol version|disagrees about version|Unknown symbol|-fno-common)"
    r"|.*: kernel tainted\.|Disabling lock debugging"
)
"""Lines of what follows the signature check."""
BESIDES = re.compile(r"Refined TSC|Switching to clocksource|input: |Clocksource tsc unstable")
"""Lines about the emulated machine."""


def kernel() -> Path:
    """The kernel that was named; skips the test where none was."""
    named = os.environ.get(KERNEL)
    if not named:
        pytest.skip(f"opt-in: {KERNEL} names no vmlinuz of RHEL 6")
    return Path(named)


# --------------------------------------------------------------------------- the image and its ring


class Image:
    """A bzImage whose payload is a 64-bit vmlinux, compressed with gzip (Documentation/x86/boot.txt)."""

    def __init__(self, data: bytes) -> None:
        if data[0x202:0x206] != b"HdrS":
            raise BootFailed("not a bzImage")
        self._data = data
        offset, self._room = struct.unpack_from("<II", data, 0x248)
        self._at = (data[0x1F1] + 1) * 512 + offset
        self._vmlinux = zlib.decompress(data[self._at : self._at + self._room], 31)

    def _segments(self) -> Iterator[tuple[int, int, int]]:
        """(address, offset, size) of what is loaded; addresses as 32-bit code writes them."""
        table, count = struct.unpack_from("<Q", self._vmlinux, 32)[0], self._vmlinux[56]
        for number in range(count):
            row = struct.unpack_from("<IIQQQQ", self._vmlinux, table + 56 * number)
            if row[0] == 1:
                yield row[3] & 0xFFFFFFFF, row[2], row[5]

    def _offset(self, address: int) -> int | None:
        found = ((a, offset) for a, offset, size in self._segments() if a <= address < a + size)
        return next((offset + address - a for a, offset in found), None)

    def ring(self) -> tuple[int, int]:
        """Offset and size of the ring: two constants that are handed to the loader of keys."""
        for code in re.finditer(rb"\xbe(.{4})\x48\xc7\xc7(.{4})\xe8", self._vmlinux, re.DOTALL):
            size, address = (struct.unpack("<I", constant)[0] for constant in code.groups())
            offset = self._offset(address)
            if offset is not None and size < 1 << 16 and self._is_ring(offset, size):
                return offset, size
        raise BootFailed("no ring of OpenPGP keys was found in this kernel")

    def _is_ring(self, offset: int, size: int) -> bool:
        data = self._vmlinux[offset : offset + size]
        try:
            return data[:1] in (b"\x98", b"\x99") and len(read(data, "ring", "builtin", True)) > 0
        except KeySourceError:
            return False

    def with_ring(self, keys: bytes) -> bytes:
        """The image with ``keys`` in place of its ring, and a marker packet in the bytes that are left."""
        offset, size = self.ring()
        left = size - len(keys)
        if left < 3:
            raise BootFailed(f"{len(keys)} bytes of keys do not fit into {size}")
        ring = keys + b"\xa9" + struct.pack(">H", left - 3) + bytes(left - 3)
        changed = self._vmlinux[:offset] + ring + self._vmlinux[offset + size :]
        packed = min((_deflated(changed, memory) for memory in (8, 9)), key=len)
        if len(packed) > self._room:
            raise BootFailed(f"the payload needs {len(packed)} bytes, and there are {self._room}")
        end = self._at + self._room
        return self._data[: self._at] + packed.ljust(self._room, b"\0") + self._data[end:]


def _deflated(data: bytes, memory: int) -> bytes:
    work = zlib.compressobj(9, zlib.DEFLATED, 31, memory)
    return work.compress(data) + work.flush()


# --------------------------------------------------------------------------- the machine


def _init(folder: Path) -> bytes:
    """The first program, compiled without a C library."""
    command = [need("gcc"), "-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-no-pie"]
    command += ["-fno-pie", "-fno-stack-protector", "-fcf-protection=none", "-Wl,--build-id=none"]
    subprocess.run([*command, "-o", str(folder / "init"), str(INIT)], check=True)
    return (folder / "init").read_bytes()


def _boot(image: bytes, files: Mapping[str, bytes], words: Sequence[str]) -> Report:
    """One boot: the answers up to a file that stopped the machine. Raises BootFailed."""
    with tempfile.TemporaryDirectory(prefix="rhel6") as name:
        folder, archive = Path(name), Archive()
        for each in ("dev", "proc", "cases"):
            archive.folder(each)
        archive.device("dev/console", 5, 1)
        archive.file("init", _init(folder))
        for number, content in enumerate(files.values()):
            archive.file(f"cases/{number:04}", content)
        (folder / "initrd").write_bytes(archive.to_bytes())
        (folder / "vmlinuz").write_bytes(image)
        emulator = Emulator(folder)
        emulator.start(
            [
                "-machine", "pc", "-cpu", "qemu64", "-m", "512", "-kernel", folder / "vmlinuz",
                "-initrd", folder / "initrd", "-append", " ".join([COMMAND_LINE, *words]),
            ]
        )  # fmt: skip
        try:
            emulator.wait(900, silence=SILENCE)
        finally:
            emulator.stop()
        report = parse(emulator.text("report"), whole=False)
        if report is None:
            raise BootFailed(f"it did not get to its first program: {emulator.tail()}")
        report.seconds = emulator.seconds
        return report


def ask(image: bytes, files: Mapping[str, bytes], words: Sequence[str] = ()) -> dict[str, Answer]:
    """What the kernel answers for each file, in one or, after files that stop it, several boots."""
    answers: dict[str, Answer] = {}
    left = list(files)
    while left:
        report = _boot(image, {name: files[name] for name in left}, words)
        (said,) = report.answers.values()
        for number, answer in said.items():
            log = tuple(line for line in answer.log if not BESIDES.match(line))
            answers[left[int(number)]] = Answer(answer.errno, log, answer.taint)
        if report.asking is None:
            break
        answers[left[int(report.asking)]] = Answer(DIED, (), None)
        left = left[int(report.asking) + 1 :]
    return answers


# --------------------------------------------------------------------------- both sides


@dataclass(frozen=True)
class Rhel6Judge:
    """A kernel, the files it is asked about, and the ring of keys that takes the place of its own."""

    path: Path
    files: Mapping[str, bytes]
    ring: bytes

    @cached_property
    def release(self) -> str:
        return re.sub(r"^vmlinuz-", "", self.path.name)

    @cached_property
    def answers(self) -> dict[Mode, dict[str, Answer]]:
        """By mode and file. Raises BootFailed."""
        image = Image(self.path.read_bytes()).with_ring(self.ring)
        modes = {Mode(): [], Mode(enforcing=True): [ENFORCE]}
        return {mode: ask(image, self.files, words) for mode, words in modes.items()}

    @property
    def summary(self) -> str:
        """What was asked, in words."""
        died = sum(answer.errno == DIED for each in self.answers.values() for answer in each.values())
        return f"{len(self.files)} files; {len(self.answers)} modes; {died} stopped the machine"

    def column(self) -> dict[str, str]:
        """For each file its two answers in words."""
        return {name: ", ".join(word(each[name]) for each in self.answers.values()) for name in self.files}

    def predicted(self, name: str, mode: Mode) -> Prediction:
        keys = Ring(Material(tuple(read(self.ring, "ring", "user", True))))
        return predict(Subject(opened(self.files[name]), keys, for_release(self.release)), mode)

    def differences(self) -> Iterator[Difference]:
        for mode, answers in self.answers.items():
            for name in self.files:
                expected = self.predicted(name, mode)
                for text in differ(expected, answers[name]):
                    yield Difference(name, mode.words, text)


def word(answer: Answer) -> str:
    """The errno of the signature check, "passed", or "died"."""
    if answer.errno is None or any(LATER.match(line) for line in answer.log):
        return "passed"
    return answer.errno


def differ(expected: Prediction, answer: Answer) -> Iterator[str]:
    """In words, each difference between the prediction and the answer; the log is compared as a whole."""
    predicted = DIED if expected.panic else "passed" if expected.accepted else expected.errno
    if word(answer) != predicted:
        yield f"{word(answer)}, predicted {predicted} ({expected.reason})"
    log = tuple(line for line in answer.log if not LATER.match(line))
    if answer.errno != DIED and log != expected.log:
        yield f"the log {log}, predicted {expected.log}"
