"""Key sources on disk: files, and directories with everything below them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from elfsig.errors import KeySourceError, ReadError
from elfsig.lazy_dataclass import replace
from elfsig.model import Loss
from elfsig.opened.evidence import INSIDE, read_error, read_inside
from elfsig.opened.source import impossible, read_whole
from elfsig.trust import efi_variables
from elfsig.trust.entries import REVOKED, Material, Origin, gather
from elfsig.trust.forms import read_source, source_of

ROLES = ("builtin", "secondary", "machine", "platform", REVOKED)
MAX_SOURCE = 1 << 30
MAX_FILES = 100_000
"""Maximum files to examine below one directory."""

KEY_SUFFIXES = frozenset({
    ".pem", ".crt", ".cer", ".der", ".cert", ".pub", ".key", ".esl", ".auth", ".p7b", ".p7c", ".gpg", ".asc",
    ".pgp", ".x509",
})  # fmt: skip
"""Names of files that are meant to hold keys: an unreadable one is reported."""


def read_path(source: str | os.PathLike[str], origin: Origin) -> Material:
    """The entries of a file or of all files below a directory. Raises KeySourceError."""
    path = _plain(os.fspath(source))
    if (why := impossible(path)) is not None:
        raise KeySourceError(f"{origin.source!r}: {why}", code="key-source-unreadable")
    try:
        if os.path.isdir(path):
            return _read_directory(path, origin)
        return read_source(
            _content(path), _named(path, replace(origin, name=origin.name or os.path.basename(path)))
        )
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


def _read_directory(path: str, origin: Origin) -> Material:
    """Everything below a directory. An unreadable file is skipped and reported, unless it is to revoke.

    In a directory that is itself named like a list of revocations (dbx/) everything revokes.
    """
    own = efi_variables.purpose(os.path.basename(_plain(os.path.join(os.getcwd(), path))), exact=True)
    if own is not None and own.keyring == REVOKED:
        origin = replace(origin, keyring=REVOKED)
    parts: list[Material] = []
    for number, each in enumerate(_files(path, origin)):
        if number >= MAX_FILES:
            raise KeySourceError(f"{origin.source}: more than {MAX_FILES} files", code="key-source-limit")
        inner = _named(each, replace(origin, source=each, name=_name(each, path), found=True))
        try:
            parts.append(read_source(_content(each), inner))
        except (KeySourceError, OSError) as reason:
            parts.append(_lost(each, inner, reason))
    found = gather(parts)
    if not found:
        raise KeySourceError(f"{origin.source}: no key in this directory", code="no-key")
    return found


def _files(path: str, origin: Origin) -> Iterator[str]:
    """Regular files below ``path``, sorted; links to files are followed, those to directories are not."""

    def refuse(reason: OSError) -> None:
        raise reason

    for folder, folders, names in os.walk(path, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            each = _plain(os.path.join(folder, name))
            if os.path.isfile(each):
                yield each


def _name(each: str, base: str) -> str:
    """The name that shows a file's purpose: its own, else that of a folder it is in (dbx/list.esl)."""
    folder, name = os.path.split(each)
    if efi_variables.purpose(name) is not None:
        return name
    folders = reversed((folder if base == "." else folder.removeprefix(base)).strip("/").split("/"))
    known = (f for f in folders if (p := efi_variables.purpose(f)) and (p.never or p.keyring == REVOKED))
    return next(known, name)


def _lost(each: str, origin: Origin, reason: KeySourceError | OSError) -> Material:
    """A file of a directory without usable content: a loss where it is meant to hold keys, else skipped.

    Raises KeySourceError for one that is to revoke: what it names would be trusted.
    """
    text = reason.text if isinstance(reason, KeySourceError) else read_error(reason).text
    code = reason.code if isinstance(reason, KeySourceError) else "key-source-unreadable"
    purpose = efi_variables.purpose(origin.name, exact=True)
    if origin.revoking or (purpose and purpose.keyring == REVOKED) or code == "revocation-lost":
        if code != "not-key-source" or purpose is not None:
            raise KeySourceError(text if text.startswith(each) else f"{each}: {text}", code=code)
        return Material()
    if code == "not-key-source" and os.path.splitext(each)[1].lower() not in KEY_SUFFIXES:
        return Material()
    if code == "private-key":
        return Material()
    return Material(losses=(Loss(each, "file", text.removeprefix(f"{each}: ")),))


__all__ = ["KEY_SUFFIXES", "MAX_SOURCE", "ROLES", "read_path", "source_of"]
