"""What can be opened: paths, bytes and binary streams, and the errors of reading them in elfsig's words."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from elfsig.errors import ReadError, UsageError

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

INSIDE = "!/"
"""What stands between a container and a member of it in a path: ``a.deb!/data.tar.xz!/lib/x.ko``. A file of
such a name on disk takes precedence."""

_CODES = {
    errno.ENOENT: ("not-found", "no such file"),
    errno.ENOTDIR: ("not-found", "no such file: a part of the path is not a directory"),
    errno.EACCES: ("permission-denied", "permission denied"),
    errno.EPERM: ("permission-denied", "permission denied"),
    errno.EISDIR: ("is-a-directory", "is a directory"),
    errno.ELOOP: ("symlink-loop", "symbolic links form a loop"),
    errno.ENXIO: ("not-a-regular-file", "is a socket or a device"),
    errno.ESTALE: ("changed-while-reading", "disappeared while it was read"),
}
_KINDS = (
    (modes.S_ISDIR, "is-a-directory", "is a directory"),
    (modes.S_ISFIFO, "not-a-regular-file", "is a FIFO, not a regular file"),
    (modes.S_ISSOCK, "not-a-regular-file", "is a socket, not a regular file"),
    (lambda _: True, "not-a-regular-file", "is a device, not a regular file"),
)
MOST_LINKS = 40
"""Links in the resolution of one path, as in the kernel (MAXSYMLINKS, include/linux/namei.h)."""

FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def label(source: Source) -> str:
    """The path of a source; ``<bytes>`` or ``<stream>`` for one without."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "<bytes>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"


def read_stream(source: object, limit: int) -> bytes:
    """At most ``limit`` bytes of a binary stream, and one more if there are more.

    Raises ReadError where the stream cannot be read, UsageError for what is not a binary stream.
    """
    parts, room = [], limit + 1
    while room > 0 and (part := read_piece(source, room)):
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def read_piece(source: object, size: int) -> bytes:
    """The next bytes of a binary stream, at most ``size``; b"" at its end. Raises ReadError, UsageError."""
    take = getattr(source, "read", None)
    if take is None:
        text = f"a {type(source).__name__} is not a file: give a path, bytes or a binary stream"
        raise UsageError(text, code="wrong-type")
    try:
        part = take(size)  # a raw stream may return less than requested, and None if it does not block
    except UnicodeDecodeError:
        raise UsageError(_NOT_BINARY, code="wrong-type") from None
    except OSError as reason:
        raise read_error(reason) from None
    except ValueError as reason:
        raise ReadError(f"the stream cannot be read: {reason}", code="io-error") from None
    if part is not None and not isinstance(part, (bytes, bytearray, memoryview)):
        raise UsageError(_NOT_BINARY, code="wrong-type")
    return bytes(part or b"")


_NOT_BINARY = "the stream is not binary: open the file in binary mode"


def system_text(reason: OSError) -> str:
    """What the system says of an error, as it is put into a sentence."""
    return (reason.strerror or str(reason)).lower()


def impossible(path: str) -> str | None:
    """Why there can be no file of this name; None if there can be one."""
    if "\0" in path:
        return "no such file: the name holds a NUL"
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return "no such file: the name cannot be encoded"
    return None


def read_error(reason: OSError, descriptor: int | None = None) -> ReadError:
    """An OSError in elfsig's words; of reading ``descriptor``, with the offset at which that failed."""
    fallback = ("io-error", system_text(reason))
    code, text = _CODES.get(reason.errno or 0, fallback)
    offset = None
    if descriptor is not None:
        with suppress(OSError):  # a pipe has no offset
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
    return ReadError(text, code=code, offset=offset)


@contextmanager
def reading(descriptor: int) -> Iterator[None]:
    """An OSError in the body, which reads ``descriptor``, becomes a ReadError with the offset."""
    try:
        yield
    except OSError as reason:
        raise read_error(reason, descriptor) from None


def read_whole(path: str, most: int = -1) -> bytes:
    """The content of a file, or its first ``most`` bytes.

    Raises OSError where it cannot be opened, ReadError with the offset where it cannot be read.
    """
    with open(path, "rb") as file, reading(file.fileno()):
        return file.read(most)


def not_regular(mode: int) -> ReadError:
    """What a file of this mode is, which is not a regular file."""
    code, text = next((code, text) for test, code, text in _KINDS if test(mode))
    return ReadError(text, code=code)


def too_large(size: int, limit: int) -> ReadError:
    """A file of ``size`` bytes, as far as it was read."""
    return ReadError(f"{size} bytes or more, over the limit of {limit}", code="too-large", hint="max-size")


def is_stream(path: str) -> bool:
    """Whether a path is, or leads through, a name in /dev or below /proc: /dev/stdout is part of the system,
    whatever it leads to."""
    for _ in range(MOST_LINKS):
        folder = os.path.realpath(os.path.dirname(path) or ".")
        if folder == "/dev" or f"{folder}/".startswith("/proc/"):
            return True
        if not os.path.islink(path):
            break
        path = os.path.join(folder, os.readlink(path))
    return False
