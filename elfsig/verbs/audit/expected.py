"""expected: which modules must be present, and which are in use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from elfsig.errors import ReadError, UsageError
from elfsig.kernels.names import module_name
from elfsig.lazy_tuple import NamedTuple
from elfsig.opened.evidence import read
from elfsig.recognition.kinds import Family, hint_for
from elfsig.recognition.late import recognized
from elfsig.verbs.audit.audit import Audited
from elfsig.verbs.audit.baseline import BaselineFile, read_baseline
from elfsig.verbs.audit.drift import Drift
from elfsig.verbs.audit.rules import Fault

_PACKED = re.compile(r"\.(gz|xz|zst)\Z")
_OBJECT = re.compile(r"\.o\Z")
_COUNT = re.compile(r"[0-9]{1,9}")
_SHOWN = 80
_JSON: Final = (b"{", b"[")


class Check(Protocol):
    """What is found out about a tree as a whole."""

    @property
    def needs_hashes(self) -> bool:
        """Whether :class:`FileState` is needed of every module."""
        ...

    def add(self, each: Audited) -> None:
        """Take in the result for a module."""
        ...

    def faults(self) -> Iterator[Fault]:
        """What is wrong, once all modules were taken in."""
        ...


class Count:
    """That there are at least ``wanted`` modules."""

    wanted: int
    there: int

    needs_hashes = False

    def __init__(self, wanted: int) -> None:
        self.wanted, self.there = wanted, 0

    def add(self, each: Audited) -> None:
        """Count a module."""
        self.there += 1

    def faults(self) -> Iterator[Fault]:
        """How many are missing."""
        if self.there < self.wanted:
            text = f"{self.there} modules, {self.wanted} expected"
            yield Fault("missing", f"{self.wanted - self.there} modules", text)


def expected(text: str) -> Check:
    """Parse the value of ``--expect``: a number, a modules.order, a JSON output of elfsig. Raises UsageError,
    ReadError."""
    if _COUNT.fullmatch(text):
        return Count(int(text))
    data = read(text).content
    if data.lstrip()[:1] in _JSON:
        return Drift(text, read_baseline(data, text), complete=True)
    kind = recognized(data)
    if kind is not None and kind.family not in (Family.REPORT, Family.OTHER):
        raise UsageError(
            f"{text}: {kind.name}, not a number, a modules.order or a JSON output of elfsig",
            hint=hint_for("report", kind),
        )
    lines = [os.fsdecode(line.strip()) for line in data.splitlines()]
    paths = tuple(_OBJECT.sub(".ko", line) for line in lines if line)
    wrong = next((path for path in paths if not _PACKED.sub("", path).endswith(".ko")), None)
    if wrong is not None or not paths:
        why = "it is empty" if wrong is None else f"{_shortened(wrong)} is not a module"
        raise UsageError(f"{text}: not a number, a modules.order or a JSON output of elfsig: {why}")
    return Drift(text, [BaselineFile(path) for path in paths], complete=False)


def _shortened(line: str) -> str:
    """A line of a file of unknown content, for a message."""
    return repr(line) if len(line) <= _SHOWN else f"{line[:_SHOWN]!r}..."


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


class InUse:
    """Whether the files of the modules in use are here, and whether the kernel counts them as unsigned."""

    needs_hashes = False

    def __init__(self, modules: Iterable[Loaded]) -> None:
        self.modules: Sequence[Loaded] = tuple(modules)
        self.names: frozenset[str] = frozenset(each.name for each in self.modules)
        self._paths: dict[str, str] = {}

    def add(self, each: Audited) -> None:
        """Take in the result for a module."""
        name = module_name(each.path)
        if name in self.names:
            self._paths[name] = each.path

    def faults(self) -> Iterator[Fault]:
        """What is missing, and what is in use as unsigned."""
        for module in self.modules:
            path = self._paths.get(module.name)
            if path is None:
                yield Fault("missing", module.name, "in use, but there is no such file here")
            if "E" in module.taints:
                text = f"in use with taint E: unsigned ({module.name})"
                yield Fault("tainted", path or module.name, text)
