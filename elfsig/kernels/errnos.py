"""Error numbers and what people see of them: the C library's sentences, and insmod's lines.

Numbers are those of include/uapi/asm-generic/errno*.h. kmod's insmod (tools/insmod.c) and module-init-tools'
(insmod.c, up to 2011) reword a few errors before they print them.
"""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.kernels.profile import Tool
from elfsig.lazy_tuple import NamedTuple


class Errno(NamedTuple):
    """Number, and glibc's sentence for it."""

    number: int
    text: str


ERRNOS: Mapping[str, Errno] = {
    "EPERM": Errno(1, "Operation not permitted"),
    "ENOENT": Errno(2, "No such file or directory"),
    "ENOEXEC": Errno(8, "Exec format error"),
    "ENOMEM": Errno(12, "Cannot allocate memory"),
    "EINVAL": Errno(22, "Invalid argument"),
    "ERANGE": Errno(34, "Numerical result out of range"),
    "ENOSYS": Errno(38, "Function not implemented"),
    "ENOMSG": Errno(42, "No message of desired type"),
    "ENODATA": Errno(61, "No data available"),
    "ENOPKG": Errno(65, "Package not installed"),
    "EBADMSG": Errno(74, "Bad message"),
    "ELIBBAD": Errno(80, "Accessing a corrupted shared library"),
    "EOPNOTSUPP": Errno(95, "Operation not supported"),
    "ENOKEY": Errno(126, "Required key not available"),
    "EKEYEXPIRED": Errno(127, "Key has expired"),
    "EKEYREVOKED": Errno(128, "Key has been revoked"),
    "EKEYREJECTED": Errno(129, "Key was rejected by service"),
}

_REWORDED: Mapping[str, str] = {
    "ENOEXEC": "Invalid module format",
    "ENOENT": "Unknown symbol in module",
    "EINVAL": "Invalid parameters",
}
"""Errors that insmod gives other words, as though they could only come from elsewhere."""

_LINES: Mapping[Tool, str] = {
    "kmod": "insmod: ERROR: could not insert module {file}: {text}",
    "module-init-tools": "insmod: error inserting '{file}': -1 {text}",
}


def number(name: str) -> int:
    """The number of an errno."""
    return ERRNOS[name].number


def sentence(name: str) -> str:
    """What the C library says for an errno."""
    return ERRNOS[name].text


def insmod_line(tool: Tool, file: str, name: str) -> str:
    """What insmod of that time prints when loading ``file`` returns errno ``name``."""
    return _LINES[tool].format(file=file, text=_REWORDED.get(name, sentence(name)))
