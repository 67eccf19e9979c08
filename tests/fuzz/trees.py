"""Small systems in a directory of memory, made of an input, and whether they stay as they are.

An input is a list of records, separated by :data:`END`. The first line of each is a path, and what is there:
``PATH`` a file of the rest of the record, ``PATH/`` a directory, ``PATH -> TARGET`` a link, ``PATH |`` a
FIFO, ``PATH !`` a file (``PATH/ !`` a directory) that only root may read. A line without a slash is a setting
of the target itself. A content of ``$NAME`` is that of the target's dictionary: inputs are short texts.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from tests.fuzz.mutate.text import text

END = b"\n==\n"
OUTSIDE = b"$OUT"
"""In the target of a link: the directory beside the root, which no link may lead to."""
MOST = 64
"""Records that are put into one tree."""
HOW = (b"/", b" !", b"/ !", b" |", b" -> ")


def records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(first line, rest) of each record."""
    for each in data.split(END)[:MOST]:
        head, _, rest = each.partition(b"\n")
        yield head, rest


class Tree:
    """The system of one input, below ``root``; ``settings`` are the records without a path.

    Nothing of an input gets out of ``home``: a link on the way to a file is not followed, and a link out of
    the root leads to ``outside``, where there is something to find.
    """

    def __init__(self, home: Path, words: Mapping[bytes, bytes], *, writes: bool = False) -> None:
        self.home, self.root, self.outside = home, home / "root", home / "outside"
        self.settings: dict[bytes, bytes] = {}
        self.sealed: list[Path] = []
        self._words, self._writes = words, writes

    def fill(self, data: bytes, beside: Mapping[str, bytes]) -> None:
        """Make the tree anew, with the files ``beside`` it."""
        _emptied(self.home)
        self.root.mkdir()
        for name, content in beside.items():
            path = self.outside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for head, rest in records(data):
            if b"/" in head:
                self._put(head, rest)
            else:
                self.settings.setdefault(head, rest)

    def _put(self, head: bytes, rest: bytes) -> None:
        name, arrow, target = head.partition(b" -> ")
        plain = name.removesuffix(b" !").removesuffix(b" |")
        path = self._place(plain)
        if path is None:
            return
        if arrow:
            self._link(path, target)
        elif plain.endswith(b"/"):
            path.mkdir()
        elif name.endswith(b" |"):
            os.mkfifo(path)
        else:
            path.write_bytes(self._words.get(rest.strip(), rest))
        if name.endswith(b" !") and not arrow:
            self.sealed.append(path)

    def _place(self, name: bytes) -> Path | None:
        """Where a record goes; None where it cannot: the first record of a place counts."""
        parts = [os.fsdecode(each) for each in name.split(b"/") if each not in (b"", b".", b"..")]
        if not parts or b"\0" in name or len(parts) > 16 or any(len(os.fsencode(p)) > 200 for p in parts):
            return None
        path = self.root
        for part in parts[:-1]:
            path /= part
            if path.is_symlink() or (os.path.lexists(path) and not path.is_dir()):
                return None
            path.mkdir(exist_ok=True)
        path /= parts[-1]
        return None if os.path.lexists(path) else path

    def _link(self, path: Path, target: bytes) -> None:
        """Where the tree is written to, a link leads at most to what is beside the root."""
        said = os.fsdecode(target.replace(OUTSIDE, os.fsencode(self.outside)).replace(b"\0", b"")) or "."
        reached = os.path.normpath(path.parent / said)
        if len(os.fsencode(said)) < 1000 and (not self._writes or reached.startswith(f"{self.home}/")):
            path.symlink_to(said)

    # ------------------------------------------------------------------ what is there

    def shown(self) -> dict[str, object]:
        """All that is in the tree and beside it: mode, and content or target."""
        return dict(_shown(str(self.home)))

    def files(self) -> list[Path]:
        """All that is below the root."""
        return [Path(each) for each, _ in _shown(str(self.root))]

    def names(self, folder: Path) -> list[str]:
        """The names in a directory that can be listed; none otherwise."""
        return os.listdir(folder) if folder.is_dir() and folder not in self.sealed else []

    @contextmanager
    def as_user(self) -> Iterator[None]:
        """As somebody who may not read what is for root alone."""
        with ExitStack() as patches:
            for module, name in _OPENERS:
                patched = _denying(getattr(module, name), {str(each) for each in self.sealed})
                patches.enter_context(mock.patch.object(module, name, patched))
            yield


_OPENERS: tuple[tuple[Any, str], ...] = (
    (os, "open"), (os, "access"), (os, "listdir"), (os, "scandir"), (io, "open"), (builtins, "open"),
)  # fmt: skip


def _denying(real: Callable[..., Any], sealed: set[str]) -> Callable[..., Any]:
    """A function of the system, for one who is not root. Modes of files would not keep root from reading."""

    def called(path: Any = ".", *given: Any, **more: Any) -> Any:
        if sealed and not isinstance(path, int) and os.path.realpath(os.fsdecode(path)) in sealed:
            if real.__name__ == "access":
                return False
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *given, **more)

    called.__name__ = real.__name__
    return called


def _emptied(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _shown(folder: str) -> Iterator[tuple[str, object]]:
    with os.scandir(folder) as found:
        for each in found:
            mode = each.stat(follow_symlinks=False).st_mode
            if each.is_symlink():
                yield each.path, (mode, os.readlink(each.path))
            elif each.is_dir():
                yield each.path, mode
                yield from _shown(each.path)
            else:
                yield each.path, (mode, Path(each.path).read_bytes() if each.is_file() else None)


@cache
def home() -> Path:
    """A directory in memory where that is possible; everybody may look into it."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="fuzz", dir=memory if memory.is_dir() else None))
    made.chmod(0o755)
    return made


# --------------------------------------------------------------------------- the order of directories


class _Listing:
    """What os.scandir gives, in another order."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *about: object) -> None:
        return None

    def __iter__(self) -> _Listing:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def close(self) -> None:
        """There is nothing to close."""


@contextmanager
def in_order(reverse: bool) -> Iterator[None]:
    """Directories list their content in one order, or in the other."""
    listdir, scandir = os.listdir, os.scandir

    def listed(path: Any = ".") -> list[Any]:
        return sorted(listdir(path), reverse=reverse)

    def scanned(path: Any = ".") -> _Listing:
        with scandir(path) as found:
            return _Listing(sorted(found, key=lambda each: each.name, reverse=reverse))

    with mock.patch.object(os, "listdir", listed), mock.patch.object(os, "scandir", scanned):
        yield


# --------------------------------------------------------------------------- changes


def mutator(pool: Callable[[], list[bytes]]) -> Callable[[bytes, int, Random], bytes]:
    """Changes of whole records, with those of ``pool`` for new ones, and of the text of one."""

    def mutate(data: bytes, size: int, chance: Random) -> bytes:
        found = data.split(END)
        at, kind = chance.randrange(len(found)), chance.randrange(8)
        head, _, rest = found[at].partition(b"\n")
        if kind == 0 and len(found) > 1:
            del found[at]
        elif kind in (1, 2):
            found.insert(at, chance.choice(pool()))
        elif kind == 3:
            other = chance.choice(pool()).partition(b"\n")
            parts = (other[0], rest) if chance.randrange(2) else (head, other[2])
            found[at] = b"\n".join(parts)
        elif kind == 4:
            how = chance.choice(HOW)
            place = chance.choice(pool()).partition(b"\n")[0]
            found[at] = head + how + (place if how == b" -> " else b"") + b"\n" + rest
        elif kind == 5:
            found[at] = text(head, size, chance).replace(b"\n", b"") + b"\n" + rest
        else:
            found[at] = head + b"\n" + text(rest, max(1, size - len(data) + len(rest)), chance)
        return END.join(found)[:size]

    return mutate
