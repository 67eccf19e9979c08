"""The vendor's modules, to be looked up by where they are, by name and by content.

They are in a private temporary database of SQLite, which writes to the disk what does not fit into its
cache: a mirror has millions of modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.verbs.vendor.relation import (
    KnownModule,
    Relation,
    SignedBy,
    VendorFinding,
    closest,
    relation,
)

CANDIDATES: Final = 64
"""The vendor's modules of one place or name that are compared: builds of one release, flavours."""

_CACHE: Final = 32 << 10
"""KiB of the database that are in memory."""

_TABLE: Final = """
CREATE TABLE module (
    id INTEGER PRIMARY KEY, file INTEGER, path TEXT, release TEXT, place TEXT, name TEXT, vermagic TEXT,
    sha256 TEXT, content TEXT, compression TEXT, signatures TEXT, format TEXT, signer TEXT, key TEXT,
    seen INTEGER DEFAULT 0
);
CREATE TABLE file (id INTEGER PRIMARY KEY, path TEXT, further TEXT);
CREATE TABLE release (name TEXT PRIMARY KEY);
"""
_INDICES: Final = """
CREATE INDEX by_place ON module (release, place);
CREATE INDEX by_name ON module (name, vermagic);
CREATE INDEX by_content ON module (content);
"""
_COLUMNS: Final = (
    "path, release, place, name, vermagic, sha256, content, compression, signatures, format, signer, key"
)


class Match(NamedTuple):
    """A finding, and the number of the file that has the vendor's module."""

    finding: VendorFinding
    file: int | None


class VendorIndex:
    """Takes in the vendor's modules first, then looks up others. ``complete``: all was read to its end."""

    complete: bool
    modules: int

    def __init__(self) -> None:
        # "" is a database without a name, which ends with its connection. The module is imported here: most
        # runs compare with no vendor, and some Pythons are built without it.
        self._database: Any = import_module("sqlite3").connect("", isolation_level=None)
        for line in (
            f"PRAGMA cache_size = -{_CACHE}",
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
        ):
            self._database.execute(line)
        self._database.executescript(_TABLE)
        self._database.execute("BEGIN")
        self._ready = False
        self.complete, self.modules = True, 0

    def close(self) -> None:
        """Remove the database."""
        self._database.close()

    def add_file(self, path: str, further: tuple[str, ...] = ()) -> int:
        """The number of a file of the vendor's; ``further`` are those in which an image goes on."""
        names = "/".join(_hex(each) for each in further)
        return int(
            self._database.execute(
                "INSERT INTO file (path, further) VALUES (?, ?)", (_hex(path), names)
            ).lastrowid
        )

    def file(self, number: int) -> tuple[str, tuple[str, ...]]:
        """The path of a file, and those in which it goes on."""
        path, further = self._database.execute(
            "SELECT path, further FROM file WHERE id = ?", (number,)
        ).fetchone()
        return _path(path), tuple(_path(each) for each in further.split("/") if each)

    def add(self, module: KnownModule, file: int) -> None:
        """Take in one module of the vendor's."""
        marks = ", ".join("?" * 13)
        by = module.signed_by or SignedBy(None, None, None)
        values = (file, *module[:-1], *by)
        self._database.execute(
            f"INSERT INTO module (file, {_COLUMNS}) VALUES ({marks})", tuple(map(_clean, values))
        )
        self.modules += 1

    def releases(self, most: int) -> list[str]:
        """The kernel releases that the vendor's modules were built for, at most ``most`` of them."""
        found = self._database.execute(
            "SELECT DISTINCT release FROM module WHERE release IS NOT NULL ORDER BY release LIMIT ?", (most,)
        )
        return [name for (name,) in found]

    # ------------------------------------------------------------------ the other side

    def look_up(self, one: KnownModule, installed: bool = True) -> Match:
        """The finding for a module. ``installed``: it is one of those that should all be there for its
        kernel, so that others may be missing."""
        self._index()
        if installed and one.release is not None:
            self._database.execute("INSERT OR IGNORE INTO release VALUES (?)", (_clean(one.release),))
        for where, values in (
            ("release = ? AND place = ?", (one.release, one.place)),
            ("name = ? AND vermagic = ?", (one.name, one.vermagic)),
        ):
            found = self._found(where, values) if None not in values else []
            finding = closest(one, [module for _, _, module in found])
            if finding is not None:
                number, file, _ = next(each for each in found if each[2].path == finding.vendor_path)
                self._see(number, found)
                return Match(self._with_content(one, finding), file)
        word = Relation.UNKNOWN if self.complete else Relation.INCOMPLETE
        finding = VendorFinding(one.path, word, one.release, signed_by=(one.signed_by, None))
        return Match(self._with_content(one, finding), None)

    def _with_content(self, one: KnownModule, finding: VendorFinding) -> VendorFinding:
        """Of a module that differs, or is unknown: the vendor's of another name that has its content."""
        odd = (Relation.CHANGED, Relation.UNKNOWN, Relation.INCOMPLETE)
        if finding.relation not in odd or one.content is None:
            return finding
        for _, _, other in self._found("content = ?", (one.content,)):
            if relation(one, other) is not Relation.CHANGED:
                return replace(finding, content_of=other.path)
        return finding

    def _found(self, where: str, values: tuple[Any, ...]) -> list[tuple[int, int, KnownModule]]:
        rows = self._database.execute(
            f"SELECT id, file, {_COLUMNS} FROM module WHERE {where} ORDER BY id LIMIT {CANDIDATES}",
            tuple(map(_clean, values)),
        )
        return [(row[0], row[1], _module(row[2:])) for row in rows]

    def _see(self, number: int, found: list[tuple[int, int, KnownModule]]) -> None:
        """Mark what was found: all builds of the module at this place."""
        vendor = next(module for at, _, module in found if at == number)
        if vendor.place is None:
            self._database.execute("UPDATE module SET seen = 1 WHERE id = ?", (number,))
            return
        self._database.execute(
            "UPDATE module SET seen = 1 WHERE release = ? AND place = ?", (vendor.release, vendor.place)
        )

    def missing(self) -> Iterator[VendorFinding]:
        """The vendor's modules for the kernels of the modules that were looked up which were not among them,
        each once, by release and place."""
        self._index()
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM module WHERE seen = 0 AND release IN (SELECT name FROM release)"
            " GROUP BY release, COALESCE(place, path) ORDER BY release, COALESCE(place, path)"
        )
        for row in rows:
            each = _module(row)
            yield VendorFinding(
                each.path,
                Relation.MISSING,
                each.release,
                each.path,
                each.sha256,
                False,
                (None, each.signed_by),
            )

    def _index(self) -> None:
        if not self._ready:
            self._database.executescript(_INDICES)
            self._ready = True


def _module(row: tuple[Any, ...]) -> KnownModule:
    by = SignedBy(*row[9:])
    return KnownModule._make((*row[:9], by if any(by) else None))


def _clean(value: Any) -> Any:
    """Texts as SQLite takes them: surrogates, which JSON may have, as their escapes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _hex(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").hex()


def _path(text: str) -> str:
    return bytes.fromhex(text).decode("utf-8", "surrogateescape")
