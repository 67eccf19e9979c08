"""A file system whose files cannot be read from some offset on: the kernel answers EIO, as for a broken disk.

It speaks the protocol of Linux's FUSE (include/uapi/linux/fuse.h, version 7.31) from a process of its own, so
that every way of reading meets the fault: read, pread, readv, mmap (which ends the process with SIGBUS).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = 4096
"""The kernel reads whole pages: those before that of the offset can be read."""

_HEAD = struct.Struct("<IIQQIIIHH")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
_SILENT = (_FORGET, _INTERRUPT, _BATCH_FORGET)
_DETACH = 2
_DAY = 86400


class Broken(NamedTuple):
    """A file's content; ``at`` is the offset from which on it cannot be read, None for a good file."""

    content: bytes
    at: int | None = None

    @property
    def page(self) -> int:
        """The offset of the first page that cannot be read."""
        assert self.at is not None
        return self.at // PAGE * PAGE


class _Node(NamedTuple):
    number: int
    file: Broken | None
    children: dict[str, int]


def _nodes(files: Mapping[str, Broken]) -> dict[int, _Node]:
    """The tree, by numbers of inodes; the root is 1."""
    nodes = {1: _Node(1, None, {})}
    for path, file in files.items():
        at = 1
        *folders, name = path.split("/")
        for folder in folders:
            if folder not in nodes[at].children:
                nodes[at].children[folder] = len(nodes) + 1
                nodes[len(nodes) + 1] = _Node(len(nodes) + 1, None, {})
            at = nodes[at].children[folder]
        nodes[at].children[name] = len(nodes) + 1
        nodes[len(nodes) + 1] = _Node(len(nodes) + 1, file, {})
    return nodes


def _attributes(node: _Node) -> bytes:
    size = len(node.file.content) if node.file else 0
    mode = stat.S_IFREG | 0o644 if node.file else stat.S_IFDIR | 0o755
    blocks = -(-size // 512)
    numbers = struct.pack("<6Q", node.number, size, blocks, *(1_700_000_000,) * 3)
    return numbers + struct.pack("<10I", 0, 0, 0, mode, 1, 0, 0, 0, PAGE, 0)


class _Server:
    def __init__(self, files: Mapping[str, Broken]) -> None:
        self._nodes = _nodes(files)

    def answer(self, code: int, node: _Node, body: bytes) -> bytes:
        """The reply to a request, without its head. Raises OSError."""
        if code == _INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 17, 0, 16, 12, 1 << 17, 1, 32, 0, 0)
        if code == _LOOKUP:
            return self._found(node, os.fsdecode(body.rstrip(b"\0")))
        if code == _GETATTR:
            return struct.pack("<QII", _DAY, 0, 0) + _attributes(node)
        if code in (_OPEN, _OPENDIR):
            return bytes(16)
        if code in (_FLUSH, _RELEASE, _RELEASEDIR):
            return b""
        if code == _STATFS:
            return struct.pack("<5Q4I24x", 1000, 0, 0, 1000, 0, PAGE, 255, PAGE, 0)
        offset, size = struct.unpack_from("<QI", body, 8) if code in (_READ, _READDIR) else (0, 0)
        if code == _READ and node.file is not None:
            return _part(node.file, offset, size)
        if code == _READDIR:
            return _listing(node, offset, size)
        raise OSError(errno.ENOSYS, "not implemented")

    def _found(self, node: _Node, name: str) -> bytes:
        if name not in node.children:
            raise OSError(errno.ENOENT, "no such file")
        found = self._nodes[node.children[name]]
        return struct.pack("<4Q2I", found.number, 0, _DAY, _DAY, 0, 0) + _attributes(found)

    def serve(self, descriptor: int) -> None:
        """Answer requests until the file system is unmounted."""
        while True:
            request = os.read(descriptor, (1 << 17) + 4096)
            _, code, unique, number, *_ = _HEAD.unpack_from(request)
            if code in _SILENT:
                continue
            try:
                node = self._nodes.get(number, self._nodes[1])
                reply, error = self.answer(code, node, request[_HEAD.size :]), 0
            except OSError as reason:
                reply, error = b"", -(reason.errno or errno.EIO)
            os.write(descriptor, struct.pack("<IiQ", 16 + len(reply), error, unique) + reply)


def _part(file: Broken, offset: int, size: int) -> bytes:
    end = min(offset + size, len(file.content))
    if file.at is not None and end > file.page:
        raise OSError(errno.EIO, "broken")
    return file.content[offset:end]


def _listing(node: _Node, offset: int, size: int) -> bytes:
    out = bytearray()
    for nr, (name, number) in enumerate(node.children.items()):
        raw = os.fsencode(name)
        entry = struct.pack("<QQII", number, nr + 1, len(raw), 0) + raw
        entry += bytes(-len(entry) % 8)
        if nr < offset:
            continue
        if len(out) + len(entry) > size:
            break
        out += entry
    return bytes(out)


@contextmanager
def broken_disk(place: Path, files: Mapping[str, Broken]) -> Iterator[Path]:
    """These files, by their paths, below ``place``, which is made. Skips where FUSE cannot be mounted."""
    place.mkdir(parents=True, exist_ok=True)
    library = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as reason:
        pytest.skip(f"opt-in: /dev/fuse: {reason.strerror}")
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if library.mount(b"broken", os.fsencode(place), b"fuse", 0, options):
        os.close(descriptor)
        pytest.skip(f"opt-in: FUSE cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    pid = os.fork()
    if not pid:
        try:
            _Server(files).serve(descriptor)
        finally:
            os._exit(0)
    os.close(descriptor)
    try:
        yield place
    finally:
        library.umount2(os.fsencode(place), _DETACH)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
