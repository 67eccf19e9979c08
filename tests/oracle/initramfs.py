"""An initramfs: the "newc" archive of Documentation/driver-api/early-userspace/buffer-format.rst."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from tests.support.tools import need

INIT = Path(__file__).with_name("init.pl")
PERL = "/usr/bin/perl"
FOLDERS = ("dev", "proc", "sys", "run", "root", "cases", "before")
_DIRECTORY, _FILE, _DEVICE = 0o040755, 0o100755, 0o020600


class Archive:
    """Files are added one by one, the folders above them as needed."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: set[str] = set()

    def _entry(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0), time: int = 0
    ) -> None:
        self._known.add(name)
        path = name.encode() + b"\0"
        number = len(self._known)
        # inode, mode, uid, gid, links, time, size, device of the file system, device, name's size, checksum
        fields = (number, mode, 0, 0, 1, time, len(data), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name: str) -> None:
        for parent in reversed(PurePosixPath(name).parents):
            if parent.name and str(parent) not in self._known:
                self._entry(str(parent), _DIRECTORY)
        if name not in self._known:
            self._entry(name, _DIRECTORY)

    def file(self, name: str, data: bytes, time: int = 0) -> None:
        """Add a file, changed at ``time`` (seconds since 1970); one that is there already stays."""
        plain = name.lstrip("/")
        if plain in self._known:
            return
        if "/" in plain:
            self.folder(plain.rpartition("/")[0])
        self._entry(plain, _FILE, data, time=time)

    def program(self, path: str, below: Sequence[Path] = (), name: str | None = None) -> None:
        """Add a program, or a library, with the shared libraries that it needs.

        ``below``: folders with libraries that are not installed on this system.
        """
        self.file(name or path, Path(path).read_bytes())
        for library, place in libraries(path, below).items():
            self.file(place, Path(library).read_bytes())

    def device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, _DEVICE, b"", (major, minor))

    def to_bytes(self) -> bytes:
        self._entry("TRAILER!!!", 0)
        return b"".join(self._parts)


LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def libraries(program: str, below: Sequence[Path] = ()) -> dict[str, str]:
    """The shared libraries of a program, its loader included: where each is, and its place in the guest."""
    folders = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, below))} if below else None
    said = subprocess.run([need("ldd"), program], capture_output=True, text=True, env=folders).stdout
    found = {}
    for path in sorted(set(re.findall(r"(/\S+) \(0x", said))):
        foreign = any(Path(path).is_relative_to(folder) for folder in below)
        found[path] = f"{LIBRARIES}/{Path(path).name}" if foreign else path
    return found


def build(
    cases: Mapping[str, bytes],
    before: Mapping[str, bytes],
    modes: Sequence[str],
    commands: Sequence[Sequence[str]] = (),
) -> Archive:
    """The initramfs of one run: ``cases`` are asked about in each of ``modes``.

    ``before`` are modules that are loaded first, in this order; ``commands`` are run at the end. More files
    may be added to it.
    """
    archive = Archive()
    for folder in FOLDERS:
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    need("perl")
    archive.program(PERL)
    archive.file("init", INIT.read_bytes())
    archive.file("modes", " ".join(modes).encode())
    archive.file("commands", "".join("\t".join(words) + "\n" for words in commands).encode())
    for number, (name, data) in enumerate(before.items()):
        archive.file(f"before/{number:02}-{name}", data)
    for name, data in cases.items():
        archive.file(f"cases/{name}", data)
    return archive
