"""Key sources on disk: files, and directories with everything below them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from elfsig.errors import KeySourceError, ReadError
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.opened.evidence import INSIDE, read_error, read_inside
from elfsig.opened.source import MOST_LINKS, impossible, read_whole
from elfsig.trust import efi_variables
from elfsig.trust.efi_variables import strongest
from elfsig.trust.entries import REVOKED, Material, Origin, gather
from elfsig.trust.forms import read_source, source_of
from elfsig.trust.unread import lost

ROLES = ("builtin", "secondary", "machine", "platform", REVOKED)
MAX_SOURCE = 1 << 30
MAX_FILES = 100_000
"""Maximum files to examine below one directory."""

LEADS_NOWHERE = "a link that leads nowhere"
NOT_FOLLOWED = "a link to a directory, which is not followed: name that directory as a source of its own"


def read_path(source: str | os.PathLike[str], origin: Origin) -> Material:
    """The entries of a file or of all files below a directory. Raises KeySourceError."""
    path = _plain(os.fspath(source))
    if (why := impossible(path)) is not None:
        raise KeySourceError(f"{origin.source}: {why}", code="key-source-unreadable")
    try:
        if os.path.isdir(path):
            return _read_directory(path, origin)
        around = (*origin.around, *_target(path))
        named = replace(origin, name=origin.name or os.path.basename(path), around=around)
        return read_source(_content(path), _named(path, named))
    except OSError as reason:
        text = read_error(reason).text + _about_prefixes(origin.source)
        raise KeySourceError(f"{origin.source}: {text}", code="key-source-unreadable") from None


def _plain(path: str) -> str:
    """``path`` without empty names and ``.`` in it."""
    names = "/".join(name for name in path.split("/") if name not in ("", "."))
    return f"/{names}" if path.startswith("/") else names or "."


def _about_prefixes(source: str) -> str:
    """The list of prefixes, for a source that looks like a prefixed one."""
    return f"; keyrings are {', '.join(f'{role}:' for role in ROLES)}" if re.match(r"[a-z]+:", source) else ""


def _content(path: str) -> bytes:
    if _is_inside(path):
        try:
            return read_inside(path, MAX_SOURCE)
        except ReadError as reason:
            raise KeySourceError(f"{path}: {reason.text}", code="key-source-unreadable") from None
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise KeySourceError(f"{path}: not a regular file", code="key-source-unreadable")
    if about.st_size > MAX_SOURCE:
        raise KeySourceError(f"{path}: larger than {MAX_SOURCE} bytes", code="key-source-unreadable")
    try:
        return read_whole(path)
    except ReadError as reason:
        raise KeySourceError(
            f"{path}: {reason.text}", code="key-source-unreadable", offset=reason.offset
        ) from None


def _is_inside(path: str) -> bool:
    """Whether ``path`` leads into a container, and is not a path on disk."""
    return INSIDE in path and not os.path.exists(path)


def _named(path: str, origin: Origin) -> Origin:
    """The origin of a list of machine owner keys says whether the kernel is set to trust them."""
    if not efi_variables.is_owners(origin.name) or _is_inside(path):
        return origin
    beside = (name.lower() for name in os.listdir(os.path.dirname(path) or "."))
    return replace(origin, mok_trusted=any(n.startswith(efi_variables.MOK_TRUSTED) for n in beside))


# --------------------------------------------------------------------------- directories


class _Found(NamedTuple):
    """One name in a directory, and why it is not read, if it is not."""

    path: str
    fault: str | None = None


def _read_directory(path: str, origin: Origin) -> Material:
    """Everything below a directory; what is not read is told (:mod:`unread`).

    In a directory that is itself named like a list of revocations (dbx/), or that a link of such a name leads
    to, everything revokes.
    """
    paths = (_plain(os.path.join(os.getcwd(), path)), os.path.realpath(path))
    names = (origin.name, *origin.around, *_target(path), *map(os.path.basename, paths))
    own = tuple(name for name in names if _is_revoking(name, exact=False))
    if any(_is_revoking(name, exact=True) for name in own):
        origin = replace(origin, keyring=REVOKED)
    parts: list[Material] = []
    for number, each in enumerate(_files(path)):
        if number >= MAX_FILES:
            raise KeySourceError(f"{origin.source}: more than {MAX_FILES} files", code="key-source-limit")
        around = (*_folders(each.path, path), *_target(each.path), *own)
        name = os.path.basename(each.path)
        inner = replace(origin, source=each.path, name=name, around=around, found=True)
        parts.append(_read_found(each, _named(each.path, inner)))
    found = gather(parts)
    if not found:
        raise KeySourceError(f"{origin.source}: no key in this directory", code="no-key")
    return found


def _read_found(each: _Found, origin: Origin) -> Material:
    """The entries of one file of a directory. Raises KeySourceError for what is to revoke and is not read."""
    data = b""
    try:
        if each.fault is not None:
            raise KeySourceError(each.fault, code="key-source-unreadable")
        data = _content(each.path)
        return read_source(data, origin)
    except KeySourceError as reason:
        return lost(origin, reason, data)
    except OSError as reason:
        return lost(origin, KeySourceError(read_error(reason).text, code="key-source-unreadable"))


def _files(path: str) -> Iterator[_Found]:
    """All files below ``path``, sorted; links to files are followed, those to directories are not."""

    def refuse(reason: OSError) -> None:
        raise reason

    real = os.path.realpath(path)
    for folder, folders, names in os.walk(path, onerror=refuse):
        folders.sort()
        linked = (name for name in folders if os.path.islink(os.path.join(folder, name)))
        for name in sorted([*names, *linked]):
            each = _plain(os.path.join(folder, name))
            if not _is_read_anyway(each, path, real):
                yield _Found(each, _fault(each))


def _fault(path: str) -> str | None:
    """Why a name below a directory is not read; None for a regular file."""
    try:
        mode = os.stat(path).st_mode
    except OSError as reason:
        return LEADS_NOWHERE if os.path.islink(path) else read_error(reason).text
    if stat.S_ISDIR(mode):
        return NOT_FOLLOWED
    return None if stat.S_ISREG(mode) else "not a regular file"


def _is_read_anyway(path: str, base: str, real: str) -> bool:
    """Whether this is a link to a directory below ``base`` that no name gives another meaning."""
    if not os.path.isdir(path) or strongest(os.path.basename(path), _folders(path, base)) is not None:
        return False
    return f"{os.path.realpath(path)}/".startswith(f"{real.rstrip('/')}/")


def _folders(path: str, base: str) -> tuple[str, ...]:
    """The names of the folders on the way from ``base`` to a file, the nearest first."""
    folder = os.path.dirname(path)
    return tuple(reversed((folder if base == "." else folder.removeprefix(base)).strip("/").split("/")))


def _target(path: str) -> tuple[str, ...]:
    """The names of what a link leads to, through other links too."""
    names: list[str] = []
    at = path
    while os.path.islink(at) and len(names) < MOST_LINKS:
        at = os.path.join(os.path.dirname(at), os.readlink(at))
        names.append(os.path.basename(at))
    return (*names, os.path.basename(os.path.realpath(path))) if names else ()


def _is_revoking(name: str, *, exact: bool) -> bool:
    found = efi_variables.purpose(name, exact=exact)
    return found is not None and found.keyring == REVOKED


__all__ = ["MAX_SOURCE", "ROLES", "read_path", "source_of"]
