"""A directory of key pairs, one folder for each date and time, and ``current``, a link to the newest.

The layout, and the names in it, are those of ``certs-local`` in Arch's kernel packages:
``signing_key.pem`` (private key and certificate), ``signing_prv.pem``, ``signing_crt.crt`` (DER), and the
hash and type of key as text in ``khash`` and ``ktype``.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

from elfsig.errors import ElfsigError, ReadError, UsageError, WriteError
from elfsig.keygen.files import FOLDER, SECRET, Item, secret_last, write_new
from elfsig.keygen.kinds import Kind, kind_of
from elfsig.opened.atomic import new_folder, remove_folder, replace_link, settle
from elfsig.opened.evidence import read_path
from elfsig.opened.source import system_text

CURRENT = "current"
PAIR, PRIVATE, CERTIFICATE = "signing_key.pem", "signing_prv.pem", "signing_crt.crt"
HASH, TYPE = "khash", "ktype"
PUBLIC = frozenset({CERTIFICATE, HASH, TYPE})
"""Files that hold nothing secret."""

ALWAYS, NEVER = "always", "never"
REFRESH = "7days"

LIMIT = 1 << 20
"""Maximum size of a file of a pair, in bytes."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PERIOD = re.compile(
    r"([0-9]{1,9}) *(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)", re.IGNORECASE
)


def period(text: str) -> int | None:
    """Seconds that a key is used: 7days, 24h, 0 for ``always``, None for ``never``. Raises UsageError."""
    plain = text.strip().lower()
    if plain in (ALWAYS, NEVER):
        return 0 if plain == ALWAYS else None
    found = _PERIOD.fullmatch(plain)
    if found is None:
        raise UsageError(f"{text!r} is not a period: 7days, 24h, 30min, always or never", code="period")
    return int(found[1]) * _UNITS[found[2][0]]


class Current(NamedTuple):
    """The pair that ``current`` points to. ``made`` is its creation time in seconds since 1970."""

    folder: str
    kind: Kind | None
    hash: str
    made: int

    @property
    def pair(self) -> str:
        """Absolute path of the file with both halves, not through the link, which changes."""
        return os.path.join(self.folder, PAIR)


def current(keydir: str) -> Current | None:
    """The newest pair, or None if there is no pair yet. Raises ReadError if it is damaged."""
    from elfsig.crypto.certificate import parse
    from elfsig.crypto.public_keys import load_spki

    link = os.path.join(keydir, CURRENT)
    if not os.path.lexists(link):
        return None
    folder = os.path.realpath(link)
    parsed = parse(_content(os.path.join(folder, CERTIFICATE)))
    _content(os.path.join(folder, PAIR))
    hash_name = _content(os.path.join(folder, HASH)).decode("ascii", "replace").strip()
    public = load_spki(parsed.spki)
    kind = None if public is None else kind_of(public)
    return Current(folder, kind, hash_name, parsed.certificate.not_before)


def _content(path: str) -> bytes:
    """The content of a file of a pair. Raises ReadError, also for what is too large for one."""
    return _read(path)[0]


def _read(path: str) -> tuple[bytes, int]:
    """(content, mode) of a file. Raises ReadError."""
    try:
        data, status = read_path(path, LIMIT)
    except ReadError as fault:
        raise ReadError(f"{path}: {fault.text}", code=fault.code) from None
    return data, SECRET if status is None else status.st_mode & 0o777


def _copied(folder: str, public_only: bool) -> dict[str, tuple[bytes, int]]:
    """(content, mode) of the files in ``folder`` to copy, by name. Raises ReadError."""
    try:
        names = os.listdir(folder)
    except OSError as reason:
        raise ReadError(f"{folder}: {system_text(reason)}") from None
    wanted = [each for each in names if (each in PUBLIC if public_only else not each.startswith("."))]
    return {each: _read(os.path.join(folder, each)) for each in wanted}


def due(keydir: str, seconds: int | None, kind: Kind, hash_name: str, now: float | None = None) -> str | None:
    """Why new keys are needed, or None if the present ones are still good."""
    try:
        there = current(keydir)
    except ElfsigError as fault:
        return f"the present keys cannot be used: {fault}"
    if there is None:
        return "there are no keys yet"
    if seconds == 0:
        return "new keys were asked for"
    if (there.kind, there.hash) != (kind, hash_name):
        old = there.kind.id if there.kind else "another kind"
        return f"the present keys are {old} with {there.hash}, not {kind.id} with {hash_name}"
    age = (time.time() if now is None else now) - there.made
    if seconds is not None and age >= seconds:
        return f"the present keys were made {datetime.fromtimestamp(there.made, UTC):%Y-%m-%d %H:%M} UTC"
    return None


def add(keydir: str, items: list[Item], now: float | None = None) -> str:
    """Write ``items`` as a new folder and make it the current one. Returns its path. Raises WriteError.

    The folder appears with all its files, and the link is switched after that: a
    concurrent reader sees the old pair or the new one.
    """
    stamp = datetime.fromtimestamp(time.time() if now is None else now).strftime("%Y%m%d-%H%M")
    try:
        os.makedirs(keydir, exist_ok=True)
        fresh, lock = new_folder(keydir, "new")
        try:
            for item in secret_last(items):
                write_new(os.path.join(fresh, item.name), item.data, item.mode)
            folder = _named(fresh, keydir, stamp)
        except BaseException:  # also when interrupted: leave no partial folder
            remove_folder(fresh)
            raise
        finally:
            os.close(lock)
        try:
            _switch(keydir, os.path.basename(folder))
        except OSError:
            remove_folder(folder)
            raise
    except OSError as reason:
        raise _told(reason, keydir) from None
    return os.path.realpath(folder)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Lock a folder for as long as the body runs, where the file system has locks. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _named(fresh: str, keydir: str, stamp: str) -> str:
    """Give the folder the first free name for this minute."""
    for name in _names(stamp):
        target = os.path.join(keydir, name)
        if os.path.lexists(target):
            continue
        with suppress(FileExistsError, NotADirectoryError):
            os.rename(fresh, target)
            return target
    raise AssertionError("there is always a next name")


def _names(stamp: str) -> Iterator[str]:
    yield stamp
    number = 2
    while True:
        yield f"{stamp}-{number}"
        number += 1


def _switch(keydir: str, name: str) -> None:
    """Point ``current`` to ``name``: a relative link, so that the directory can be moved."""
    with _locked(keydir):
        replace_link(os.path.join(keydir, CURRENT), name)
        settle(keydir)


def _told(reason: OSError, folder: str) -> WriteError:
    """``reason`` in words, with the file that caused it where that is known."""
    where = reason.filename2 or reason.filename or folder
    return WriteError(f"{where}: {system_text(reason)}")


def install(keydir: str, destination: str, *, public_only: bool = False) -> str:
    """Copy the current pair and its link to another directory. Returns the folder there.

    Modes are kept, the private key's included. ``public_only``: only the certificate, hash and type are
    copied, whatever else is there: an editor's backup of a private key is a private key. Existing files
    of the same name are replaced one by one. Raises ReadError, before anything is written, and WriteError.
    """
    there = current(keydir)
    if there is None:
        raise ReadError(f"{keydir}: there are no keys (elfsig keys generate makes some)", code="not-found")
    name = os.path.basename(there.folder)
    target = os.path.join(destination, name)
    files = _copied(there.folder, public_only)
    try:
        os.makedirs(target, mode=FOLDER, exist_ok=True)
        os.chmod(target, 0o755 if public_only else FOLDER)
        for each, (data, mode) in sorted(files.items()):
            write_new(os.path.join(target, each), data, mode, replace=True)
        _switch(destination, name)
    except OSError as reason:
        raise _told(reason, destination) from None
    return target
