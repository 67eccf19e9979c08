"""An initramfs: the "newc" archive of Documentation/driver-api/early-userspace/buffer-format.rst."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tests.support.tools import need

INIT = Path(__file__).with_name("init.pl")
PERL = "/usr/bin/perl"
FOLDERS = ("dev", "proc", "sys", "cases", "before")
_DIRECTORY, _FILE, _DEVICE = 0o040755, 0o100755, 0o020600


class Archive:
    """Files are added one by one, the folders above them as needed."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._known.add(name)
        path = name.encode() + b"\0"
        number = len(self._known)
        # inode, mode, uid, gid, links, time, size, device of the file system, device, name's size, checksum
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name: str) -> None:
        for parent in reversed(PurePosixPath(name).parents):
            if parent.name and str(parent) not in self._known:
                self._entry(str(parent), _DIRECTORY)
        if name not in self._known:
            self._entry(name, _DIRECTORY)

    def file(self, name: str, data: bytes) -> None:
        plain = name.lstrip("/")
        if "/" in plain:
            self.folder(plain.rpartition("/")[0])
        self._entry(plain, _FILE, data)

    def device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, _DEVICE, b"", (major, minor))

    def to_bytes(self) -> bytes:
        self._entry("TRAILER!!!", 0)
        return b"".join(self._parts)


def libraries(program: str) -> list[str]:
    """The shared libraries of a program, its loader included."""
    need("ldd")
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", said)))


def build(cases: Mapping[str, bytes], before: Mapping[str, bytes], modes: str) -> bytes:
    """The initramfs of one run: ``cases`` are asked about, ``before`` are loaded first, in name order."""
    archive = Archive()
    for folder in FOLDERS:
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    for path in (need("perl"), *libraries(PERL)):
        archive.file(path, Path(path).read_bytes())
    archive.file("init", INIT.read_bytes())
    archive.file("modes", modes.encode())
    for folder, files in (("cases", cases), ("before", before)):
        for name, data in files.items():
            archive.file(f"{folder}/{name}", data)
    return archive.to_bytes()
