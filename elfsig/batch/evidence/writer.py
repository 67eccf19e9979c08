"""The writing half of a bundle: events are checked, since what was read may have taken over the process that
read it, and written, one module at a time. What stays in memory is one hash for each module."""

from __future__ import annotations

import hashlib
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import IO, Any, NamedTuple

from cryptography.hazmat.backends.openssl import backend

from elfsig._version import __version__
from elfsig.batch.evidence.events import WORDS, Task
from elfsig.batch.survey.run import line_of
from elfsig.errors import UsageError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Verdict
from elfsig.model.json_form import dumps
from elfsig.opened.bundle import Bundle, Stored
from elfsig.verbs.bundle import checks
from elfsig.verbs.bundle.changes import Changes, changes
from elfsig.verbs.bundle.module import UNREADABLE
from elfsig.verbs.bundle.readme import MAX_LISTED, Facts, quoted, readme
from elfsig.verbs.bundle.shorten import Shortener

Json = dict[str, Any]

MAX_MODULES = 99_999_999

MAX_COMPARED = 100_000
"""Modules with a good signature that are remembered, to be compared with bad copies, and of the latter."""

FILE, CONTENT = "file", "content"
"""The files of a module's folder with the module as it was found, and what it unpacks to."""

GOOD = frozenset({Verdict.VALID.value, Verdict.UNTRUSTED.value})
"""Verdicts of signatures that protect what they cover."""


class Seen(NamedTuple):
    """One module that is in the bundle, for reports: its record, its folder, its open bytes by layer."""

    record: Json
    folder: str
    left_open: Sequence[Json]
    drawn: str


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """What a bundle holds.

    ``verdicts`` counts the places of modules by verdict, ``left_out`` those of verdicts that were not asked
    for; ``modules`` are different ones. ``incomplete`` of ``containers`` were not read to their end.
    ``sha256`` is that of the archive, in hex, None for a directory. ``changes`` are for modules with a bad
    signature of which a copy with a good one is in the bundle too.
    """

    output: str
    sha256: str | None
    modules: int
    verdicts: Mapping[str, int]
    left_out: Mapping[str, int]
    containers: int
    incomplete: int
    changes: tuple[Changes, ...] = ()


class Writer:
    """Takes events, and writes the bundle."""

    bundle: Bundle
    task: Task
    shorten: Shortener
    seen: Callable[[Seen], None]
    verdicts: Counter[str]
    left_out: Counter[str]
    containers: int
    incomplete_count: int
    incomplete: list[Json]
    listed: list[str]
    changes: list[Changes]

    def __init__(self, bundle: Bundle, task: Task, shorten: Shortener, seen: Callable[[Seen], None]) -> None:
        self.bundle, self.task, self.shorten, self.seen = bundle, task, shorten, seen
        self.verdicts = Counter()
        self.left_out = Counter()
        self.containers = self.incomplete_count = 0
        self.incomplete = []
        self.listed = []
        self._known: dict[bytes, str] = {}
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self._records, self._index = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._files: dict[str, list[int]] = {}
        self._last: str | None = None
        self._digest = hashlib.sha256()
        self._good: dict[bytes, tuple[str, Stored]] = {}
        self._bad: list[tuple[bytes, str, Stored]] = []
        self.changes = []

    @property
    def modules(self) -> int:
        """How many different modules there are so far."""
        return len(self._known)

    def close(self) -> None:
        """Close the temporary files."""
        for each in (self._spool, self._records, self._index):
            each.close()

    def drop(self) -> None:
        """Forget the pieces of a module that was not finished."""
        self._files, self._last, self._digest = {}, None, hashlib.sha256()
        self._spool.seek(0)

    def take(self, event: Any, *paths: str) -> None:
        """One event about the files ``paths``. Raises ValueError for anything else."""
        if not isinstance(event, list) or not event:
            raise ValueError("not an event")
        word, rest = event[0], event[1:]
        if word == "piece" and len(rest) == 2:
            self._piece(*rest)
        elif word == "module" and len(rest) == 4:
            self._module(line_of([rest[0], "", ""], *paths).record, *rest[1:])
        elif word == "record" and len(rest) == 1:
            self._record(line_of([rest[0], "", ""], *paths).record)
        elif word == "passed" and len(rest) == 1 and rest[0] in WORDS:
            self.left_out[rest[0]] += 1
        else:
            raise ValueError("not an event")

    # ------------------------------------------------------------------ modules

    def _piece(self, name: Any, data: Any) -> None:
        if not checks.is_name(name) or not isinstance(data, (bytes, memoryview)):
            raise ValueError("not a piece")
        if name != self._last:
            if name in self._files:
                raise ValueError("a file in two parts")
            self._files[name], self._last = [self._spool.tell(), 0], name
        self._files[name][1] += self._spool.write(data)
        if name == FILE:
            self._digest.update(data)

    def _module(self, record: Json, lines: Any, open_bytes: Any, drawn: Any) -> None:
        if record["record"] != "module" or not isinstance(drawn, str) or not isinstance(lines, list):
            raise ValueError("not a module")
        text = checks.text(map(checks.checked, lines))
        if not is_left_open(open_bytes):
            raise ValueError("not a list of open bytes")
        word = record["verdict"] or UNREADABLE
        same = self._same(record, text)
        folder = self._known.get(same)
        record = self.shorten(record)
        if folder is None:
            folder = self._new_module(record, text, drawn)
            self._known[same] = folder
        self.drop()
        self.verdicts[word] += 1
        self._write_line(record, folder)
        self._list(record, folder, word, open_bytes)
        self.seen(Seen(record, folder, open_bytes, drawn))

    def _same(self, record: Json, text: bytes) -> bytes:
        """What is equal for places that share a folder: the file, and everything that is checked."""
        digest = hashlib.sha256(text)
        digest.update(dumps([record["sha256"], record["verdict"]]).encode())
        if FILE in self._files:
            digest.update(self._digest.digest())
        else:
            digest.update(record["path"].encode("utf-8", "surrogatepass"))
        return digest.digest()

    def _new_module(self, record: Json, text: bytes, drawn: str) -> str:
        number = len(self._known) + 1
        if number > MAX_MODULES:
            raise UsageError(f"more than {MAX_MODULES} different modules", code="too-many-modules")
        folder = f"m{number:05}"
        stored = {
            name: self.bundle.spooled(f"{folder}/{name}", self._spool, start, size)
            for name, (start, size) in self._files.items()
        }
        self._keep(record, folder, stored.get(CONTENT) or stored.get(FILE))
        self.bundle.small(f"{folder}/checks", text)
        self.bundle.small(f"{folder}/record.json", dumps(record).encode() + b"\n")
        pictures = self.task.pictures
        page = pictures.page(record, drawn) if pictures is not None and drawn else b""
        if page:
            self.bundle.small(f"{folder}/coverage.html", page)
        return folder

    def _list(self, record: Json, folder: str, word: str, open_bytes: Sequence[Json]) -> None:
        counts = [each["open"] for each in open_bytes if each["layer"] is not None]
        outermost_open = "-" if not counts or counts[0] is None else str(counts[0])
        if word not in GOOD:
            outermost_open = "-"
        words = (folder, word, record["sha256"] or "-", str(record["size"] or 0), outermost_open)
        line = "\t".join((*words, quoted(record["path"])))
        self._index.write(line.encode("ascii") + b"\n")
        if len(self.listed) <= MAX_LISTED:
            self.listed.append(" ".join((folder, word, quoted(record["path"]))))

    def _keep(self, record: Json, folder: str, content: Stored | None) -> None:
        """Remember where a module is whose signature is good, or bad: the two are compared in the end."""
        if content is None or record["name"] is None or record["vermagic"] is None:
            return
        same = hashlib.sha256(dumps([record["name"], record["vermagic"]]).encode()).digest()
        if record["verdict"] in GOOD and len(self._good) < MAX_COMPARED:
            self._good.setdefault(same, (folder, content))
        elif record["verdict"] == Verdict.INVALID.value and len(self._bad) < MAX_COMPARED:
            self._bad.append((same, folder, content))

    def _compare(self) -> None:
        """Which bytes of modules with a bad signature differ from those of a copy with a good one."""
        for same, folder, content in self._bad:
            if same in self._good:
                good, original = self._good[same]
                mine, its = list(self.bundle.pieces(content)), self.bundle.pieces(original)
                self.changes.append(changes(folder, mine, good, its))
        if self.changes:
            lines = "".join(dumps(each.to_json()) + "\n" for each in self.changes)
            self.bundle.small("changes.jsonl", lines.encode())

    # ------------------------------------------------------------------ other records

    def _record(self, record: Json) -> None:
        if record["record"] == "module":
            raise ValueError("a module without its files")
        record = self.shorten(record)
        if record["record"] == "container":
            self.containers += 1
            if not record["complete"]:
                self.incomplete_count += 1
                if len(self.incomplete) < MAX_LISTED:
                    self.incomplete.append(record)
        self._write_line(record, None)

    def _write_line(self, record: Json, folder: str | None) -> None:
        self._records.write(dumps({**record, "bundle": folder}).encode() + b"\n")

    # ------------------------------------------------------------------ the end

    def finish(self, run: Json, sources: Sequence[Json], reproducible: bool) -> None:
        """Write what is about the whole bundle."""
        self._compare()
        versions = versions_used()
        facts = Facts(
            run, versions, sources, self.verdicts, self.left_out, self.modules, self.containers,
            self.incomplete, self.incomplete_count, self.listed, reproducible,
        )  # fmt: skip
        whole = {
            "run": run, "versions": versions, "key_sources": list(sources), "modules": self.modules,
            "verdicts": dict(sorted(self.verdicts.items())), "left_out": dict(sorted(self.left_out.items())),
            "containers": self.containers, "incomplete": self.incomplete_count,
        }  # fmt: skip
        self._spooled("records.jsonl", self._records)
        self._spooled("index.tsv", self._index)
        self.bundle.small("bundle.json", dumps(whole).encode() + b"\n")
        self.bundle.small(
            "README", readme(facts, data_file("evidence.txt").decode()).encode("ascii", "backslashreplace")
        )

    def _spooled(self, name: str, file: IO[bytes]) -> None:
        self.bundle.spooled(name, file, 0, file.tell())


def is_left_open(value: Any) -> bool:
    """Whether a value is what :func:`elfsig.verbs.bundle.module.left_open` gives."""
    members = ("layer", "open", "size")
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and tuple(sorted(each)) == members
        and all(each[name] is None or type(each[name]) is int for name in members)
        for each in value
    )


def data_file(name: str) -> bytes:
    """A file that comes with elfsig."""
    return files("elfsig").joinpath(f"data/{name}").read_bytes()


def versions_used() -> dict[str, str]:
    """The versions of elfsig, Python and the libraries that verdicts rest on."""
    names = ("cryptography", "pyelftools", "zstandard")
    return {
        "elfsig": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in names},
        "OpenSSL (in cryptography)": backend.openssl_version_text().removeprefix("OpenSSL "),
    }
