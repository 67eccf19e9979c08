"""What the package managers of a system list: modules of one name, and the package that each belongs to.

dpkg, pacman and apk keep lists in plain text; rpm's database is read by rpm itself, that of a mounted system
from a copy, since rpm writes next to what it opens. Nothing on the system is written.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from elfsig.errors import ReadError
from elfsig.host.files import Files
from elfsig.kernels.names import module_name
from elfsig.opened.evidence import read
from elfsig.opened.source import read_error

RPM_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
FORMAT_OF_RPM = "[%{=NAME}-%{=VERSION}-%{=RELEASE}\t%{FILENAMES}\n]"
TIMEOUT = 60
"""Timeout for rpm, in seconds: it lists all files of all packages."""


class Listed(NamedTuple):
    """One file of a package: its path on that system."""

    package: str
    path: str


Rule = re.Pattern[bytes]


class Database(NamedTuple):
    """A package manager's list of files. ``places``: where it is, the first that is there.

    ``read`` yields the files that fit a rule; it raises ReadError where it could not read everything, and
    OSError.
    """

    tool: str
    places: tuple[str, ...]
    read: Callable[[Path, Path, Rule], Iterator[Listed]]

    def found(self, root: Path) -> Path | None:
        """The database on the system below ``root``. Raises OSError where that cannot be seen."""
        for each in self.places:
            with suppress(FileNotFoundError, NotADirectoryError):
                folder = Files(root).resolved(root / each)
                if os.listdir(folder):
                    return folder
        return None


def of_name(wanted: str) -> Rule:
    """The rule for paths of modules of the name ``wanted``, in a list with one path a line."""
    parts = map(re.escape, os.fsencode(wanted).split(b"_"))
    return re.compile(rb"(?:^|[/:])%s\.ko(?:\.(?:gz|xz|zst))?$" % b"[-_]".join(parts), re.MULTILINE)


def place(path: str) -> str:
    """A path as it is compared: /lib and /usr/lib are one directory on many systems, and a module may be
    compressed or not."""
    plain = re.sub(r"\.(gz|xz|zst)\Z", "", path)
    return plain.removeprefix("/usr") if plain.startswith("/usr/lib/") else plain


# --------------------------------------------------------------------------- lists in plain text


def _lines(content: bytes, rule: Rule) -> Iterator[bytes]:
    if rule.search(content):
        yield from (line for line in content.split(b"\n") if rule.search(line))


def _content(root: Path, path: Path) -> bytes:
    """A list, no link to it leading out of the root. Raises OSError, ReadError."""
    return read(str(Files(root).resolved(path))).raw


def _each(root: Path, lists: Iterable[tuple[str, Path]], rule: Rule) -> Iterator[tuple[str, str]]:
    """(package, line) of lists, one for each package. Raises OSError or ReadError, but only after all others
    were read."""
    reasons: list[OSError | ReadError] = []
    for package, path in lists:
        try:
            content = _content(root, path)
        except (OSError, ReadError) as reason:
            reasons.append(reason)
            continue
        for line in _lines(content, rule):
            yield package, os.fsdecode(line)
    if reasons:
        raise reasons[0]


def _dpkg(root: Path, folder: Path, rule: Rule) -> Iterator[Listed]:
    """NAME.list or NAME:ARCHITECTURE.list: those of kernels first, of which one is nearly always the one."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".list"))
    if not names:
        raise ReadError("dpkg has no lists of files", code="not-found")
    ordered = sorted(names, key=lambda name: not name.startswith("linux-"))
    lists = ((name.removesuffix(".list").partition(":")[0], folder / name) for name in ordered)
    yield from (Listed(*each) for each in _each(root, lists, rule))


def _pacman(root: Path, folder: Path, rule: Rule) -> Iterator[Listed]:
    """NAME-VERSION-RELEASE/files, with paths that are relative to the root."""
    names = sorted(name for name in os.listdir(folder) if name != "ALPM_DB_VERSION")
    lists = ((name.rsplit("-", 2)[0], folder / name / "files") for name in names)
    yield from (Listed(package, f"/{path}") for package, path in _each(root, lists, rule))


def _apk(root: Path, folder: Path, rule: Rule) -> Iterator[Listed]:
    """The file installed: P: is a package, F: one of its directories, R: a file in that."""
    package = inside = ""
    for line in _content(root, folder / "installed").split(b"\n"):
        kind, value = line[:2], os.fsdecode(line[2:])
        if kind == b"P:":
            package = value
        elif kind == b"F:":
            inside = value
        elif kind == b"R:" and rule.search(line):
            yield Listed(package, f"/{inside}/{value}")


# --------------------------------------------------------------------------- rpm


def _rpm(root: Path, folder: Path, rule: Rule) -> Iterator[Listed]:
    if not any((folder / name).is_file() for name in RPM_FILES):
        raise ReadError("rpm's database has no packages in it", code="not-found")
    with _safe(root, folder) as database:
        command = ["rpm", "--dbpath", str(database), "-qa", "--queryformat", FORMAT_OF_RPM]
        try:
            ran = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise ReadError(f"rpm did not list its database within {TIMEOUT} seconds") from None
        except OSError:
            raise ReadError("rpm cannot be run here, and only it reads its database") from None
    for line in _lines(ran.stdout, rule):
        package, tab, path = os.fsdecode(line).partition("\t")
        if tab:  # else it is the rest of a name that has a line end in it
            yield Listed(package, path)
    if ran.returncode or not ran.stdout:
        raise ReadError("rpm could not read its database")


@contextmanager
def _safe(root: Path, folder: Path) -> Iterator[Path]:
    """The database of the running system, else a copy of it."""
    if root.absolute() == Path("/"):
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="elfsig-") as copy:
        for each in folder.iterdir():
            if each.is_file() and not each.is_symlink():
                shutil.copyfile(each, Path(copy, each.name))
        yield Path(copy)


DATABASES = (
    Database("dpkg", ("var/lib/dpkg/info",), _dpkg),
    Database("pacman", ("var/lib/pacman/local",), _pacman),
    Database("apk", ("usr/lib/apk/db", "lib/apk/db"), _apk),
    Database("rpm", ("usr/lib/sysimage/rpm", "var/lib/rpm"), _rpm),
)


# --------------------------------------------------------------------------- asking all of them


class Search(NamedTuple):
    """What the databases say about a module. ``owner`` is the package that the file itself belongs to, with
    the tool; ``namesakes`` are files of packages with the same module name elsewhere. ``faults``: why
    databases could not be read; ``consulted``: how many were read to their end."""

    owner: tuple[str, str] | None
    namesakes: tuple[Listed, ...]
    faults: tuple[ReadError, ...]
    consulted: int


def search(root: Path, path: str | None, name: str) -> Search:
    """Who owns the file ``path`` (on that system; None: it is not on it), a module of the name ``name``."""
    rule, faults, namesakes, consulted = of_name(module_name(name)), [], [], 0
    where = None if path is None else place(path)
    for database in DATABASES:
        try:
            folder = database.found(root)
            for each in () if folder is None else database.read(root, folder, rule):
                if place(each.path) == where:
                    return Search((each.package, database.tool), (), (), 1)
                namesakes.append(each)
            consulted += folder is not None
        except ReadError as fault:
            faults.append(fault)
        except OSError as reason:
            faults.append(_named(reason, database))
    return Search(None, tuple(namesakes), tuple(faults), consulted)


def _named(reason: OSError, database: Database) -> ReadError:
    fault = read_error(reason)
    text = f"the files that {database.tool} lists cannot be read: {fault.text}"
    return ReadError(text, code=fault.code)
