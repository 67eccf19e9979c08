"""expected: which modules must be present, and which are in use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from json import JSONDecodeError, loads
from typing import Any

from elfsig.errors import ReadError, UsageError
from elfsig.kernels.names import module_name
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Verdict
from elfsig.opened.evidence import read
from elfsig.verbs.audit.audit import Audited
from elfsig.verbs.audit.rules import Fault

_PACKED = re.compile(r"\.(gz|xz|zst)\Z")
_OBJECT = re.compile(r"\.o\Z")
_COUNT = re.compile(r"[0-9]{1,9}")
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected modules: ``paths`` by their ends (``kernel/fs/xfs/xfs.ko``), of which those in ``signed``
    were signed before; or only their number, ``count``."""

    source: str
    paths: tuple[str, ...] = ()
    signed: frozenset[str] = frozenset()
    count: int | None = None

    def faults(self, results: Sequence[Audited]) -> list[Fault]:
        """What is missing among ``results``, and what lost its signature."""
        if self.count is not None:
            return self._too_few(len(results))
        there: dict[str, Audited] = {}
        for each in results:
            there.update(dict.fromkeys(_endings(each.path), each))
        faults = []
        for path in self.paths:
            found = there.get(_plain(path))
            if found is None:
                faults.append(Fault("missing", path, f"named in {self.source}"))
            elif path in self.signed and found.verdict is Verdict.UNSIGNED:
                text = f"{self.source} says that it was signed, but it has no signature now"
                faults.append(Fault("stripped", found.path, text))
        return faults

    def _too_few(self, there: int) -> list[Fault]:
        if self.count is None or there >= self.count:
            return []
        text = f"{there} modules, {self.count} expected"
        return [Fault("missing", f"{self.count - there} modules", text)]


def _plain(path: str) -> str:
    return _PACKED.sub("", path).lstrip("/")


def _endings(path: str) -> Iterable[str]:
    """Every name that a list may use for the file: from its whole path down to its bare name."""
    parts = _plain(os.path.abspath(path)).split("/")
    return ("/".join(parts[at:]) for at in range(len(parts)))


def expected(text: str) -> Expected:
    """Parse the value of ``--expect``: a number, a modules.order, a sign report. Raises UsageError,
    ReadError."""
    if _COUNT.fullmatch(text):
        return Expected(text, count=int(text))
    data = read(text).content
    if data[:1] == b"{":
        return _of_report(text, data)
    lines = [os.fsdecode(line.strip()) for line in data.splitlines()]
    paths = tuple(_OBJECT.sub(".ko", line) for line in lines if line)
    wrong = next((path for path in paths if not _plain(path).endswith(".ko")), None)
    if wrong is not None or not paths:
        why = "it is empty" if wrong is None else f"{_shortened(wrong)} is not a module"
        raise UsageError(f"{text}: not a number, a modules.order or a sign report: {why}")
    return Expected(text, paths)


def _shortened(line: str) -> str:
    """A line of a file of unknown content, for a message."""
    return repr(line) if len(line) <= _SHOWN else f"{line[:_SHOWN]!r}..."


def _of_report(source: str, data: bytes) -> Expected:
    try:
        edits = [each for each in loads(data)["edits"] if each["error"] is None]
        paths = tuple(_path_of(each) for each in edits)
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, RecursionError):
        raise UsageError(f"{source}: not a sign report") from None
    return Expected(source, paths, frozenset(paths))


def _path_of(edit: dict[str, Any]) -> str:
    """Where the signed file was: the target, or the file itself."""
    if edit["target"] is not None:
        return str(edit["target"])
    return os.fsdecode(bytes.fromhex(edit["path_hex"])) if "path_hex" in edit else str(edit["path"])


# --------------------------------------------------------------------------- in use


class Loaded(NamedTuple):
    """One line of /proc/modules: the kernel's name for the module, and its taint letters."""

    name: str
    taints: str


_LINE = re.compile(r"(?P<name>\S+) \d+ \S+ \S+ (Live|Loading|Unloading) \S+(?: \((?P<taints>[^)]*)\))?")


def loaded(path: str) -> tuple[Loaded, ...]:
    """The modules in use, from /proc/modules or a copy of it. Raises UsageError, ReadError."""
    lines = read(path).content.decode("utf-8", "replace").splitlines()
    if not lines:
        raise ReadError(f"{path}: no module is in use", code="nothing-found")
    matches = [_LINE.fullmatch(line.strip()) for line in lines]
    if None in matches:
        raise UsageError(f"{path}: not in the form of /proc/modules")
    return tuple(Loaded(m["name"].replace("-", "_"), m["taints"] or "") for m in matches if m)


def in_use_faults(modules: Iterable[Loaded], results: Sequence[Audited]) -> list[Fault]:
    """Modules in use for which there is no file here, and those that the kernel itself counts as unsigned."""
    paths = {module_name(each.path): each.path for each in results}
    faults = []
    for module in modules:
        path = paths.get(module.name)
        if path is None:
            faults.append(Fault("missing", module.name, "in use, but there is no such file here"))
        if "E" in module.taints:
            text = f"in use with taint E: unsigned ({module.name})"
            faults.append(Fault("tainted", path or module.name, text))
    return faults
