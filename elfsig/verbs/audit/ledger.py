"""ledger: what an audit found, file by file, in memory that does not grow with the number of files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from elfsig.kernels.names import module_name
from elfsig.verbs.audit.audit import WITHOUT_SIGNATURE, Audited, SignerRow, in_company
from elfsig.verbs.audit.exchange import audited_of, values_of
from elfsig.verbs.audit.folds import Folds
from elfsig.verbs.audit.rules import RULES, Fault

IN_MEMORY: Final = 1 << 20
"""Bytes of records that are kept in memory; what is more goes to a file without a name."""

MOST_SIGNERS: Final = 1000
"""Rows of the table of signers; the files of further signers are counted together."""

NOT_THERE: Final = frozenset({"missing", "vendor-missing", "vendor-incomplete", "expired-exception"})
"""Rules with faults of paths that are not among the files."""

OTHERS: Final = SignerRow("", "(others)", "", "", "")

_ORDER: Final = {name: bytes([64 + number]) for number, name in enumerate(RULES)}


def _records() -> IO[bytes]:
    return SpooledTemporaryFile(IN_MEMORY, prefix="elfsig-audit-")


@dataclass
class Ledger:
    """Takes in the results of an audit. ``ignored`` rules do not count.

    ``recording``: keep the result of every file (on disk, once there are many), so that :meth:`audited` and
    :meth:`faults` give them again; else there are only ``folds`` and counts. ``tracking``: faults of files
    that were taken in may be added later, so remember which files have some. ``watched`` are the names of
    modules in use: ``refused`` are those that kernels would refuse if they enforced signatures, ``unknown``
    those of which that is not known. ``vendor_of`` gives the member ``vendor`` of a file.
    ``hosts`` are counted as they change; ``excused`` counts the faults that exceptions of a policy excused,
    by the number of the exception.
    """

    ignored: frozenset[str] = frozenset()
    recording: bool = True
    tracking: bool = True
    files: int = 0
    hosts: int = 0
    signed: int = 0
    fault_count: int = 0
    folds: Folds = field(default_factory=Folds)
    signers: Counter[SignerRow] = field(default_factory=Counter)
    more: list[Fault] = field(default_factory=list)
    watched: frozenset[str] = frozenset()
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    vendor_of: Callable[[Audited], dict[str, Any] | None] = lambda each: None
    excused: Counter[int] = field(default_factory=Counter)
    _faulty_files: int = 0
    _host: str | None = None
    _faulty: set[int] = field(default_factory=set)
    _missing: set[int] = field(default_factory=set)
    _spool: IO[bytes] = field(default_factory=_records)

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""
        return not self.fault_count

    @property
    def faulty(self) -> int:
        """How many modules have a fault, those that are missing left out; links lead to one of them."""
        return min(self.files, self._faulty_files + len(self._faulty - self._missing))

    def close(self) -> None:
        """Remove what was recorded."""
        self._spool.close()

    def add(self, each: Audited) -> None:
        """Take in the result for a file."""
        self.files += 1
        self.hosts += each.host is not None and each.host != self._host
        self._host = each.host
        self.excused.update(excused.number for excused in each.excused)
        self.signed += each.verdict not in WITHOUT_SIGNATURE
        row = each.signer if each.signer in self.signers or len(self.signers) < MOST_SIGNERS else OTHERS
        self.signers[row] += 1
        self._faulty_files += bool(each.faults) and not self.tracking
        for fault in each.faults:
            self._count(fault, self.tracking)
        if self.recording:
            self._spool.write(_line(each))

    def add_fault(self, fault: Fault) -> None:
        """Take in a fault that was found when all files were known."""
        if fault.rule not in self.ignored:
            self.more.append(fault)
            self._count(fault, True)

    def _count(self, fault: Fault, remember: bool) -> None:
        self.fault_count += 1
        if remember:
            (self._missing if fault.rule in NOT_THERE else self._faulty).add(hash(fault.path))
        if self.watched:
            self._judge(fault)
        self.folds.add(fault)

    def _judge(self, fault: Fault) -> None:
        """Whether kernels that enforce signatures would load a module in use."""
        if RULES[fault.rule].refused or fault.rule == "kernel":
            self.refused.add(module_name(fault.path))
        elif fault.rule in ("missing", "unreadable"):
            self.unknown.add(module_name(fault.path))

    def sorted_signers(self) -> list[tuple[SignerRow, int]]:
        """The table of signers, the most frequent first."""
        return sorted(self.signers.items(), key=lambda row: (-row[1], row[0]))

    # ------------------------------------------------------------------ what was recorded

    def audited(self) -> Iterator[Audited]:
        """The results for all files, in their order, each with all of its faults."""
        more: dict[tuple[str | None, str], list[Fault]] = {}
        for fault in self.more:
            more.setdefault((fault.host, fault.path), []).append(fault)
        for line in self._lines():
            each = _parsed(line)
            faults = (*self._told(each.faults), *more.pop((each.host, each.path), ()))
            yield each._replace(faults=faults)
        for (host, path), found in more.items():
            row = SignerRow("", "", "", "", "")
            yield Audited(path, None, row, tuple(found), None, host, found[0].release)

    def faults(self) -> Iterator[Fault]:
        """All faults, in the order of the rules."""
        for rule in self.folds.rules:
            mark = _ORDER[rule.rule]
            recorded = (_parsed(line) for line in self._lines() if mark in line.partition(b"\t")[0])
            inside = chain.from_iterable(self._told(each.faults) for each in recorded)
            yield from (fault for fault in chain(inside, self.more) if fault.rule == rule.rule)

    def _told(self, faults: tuple[Fault, ...]) -> Iterator[Fault]:
        return (in_company(fault, self.signed) for fault in faults)

    def _lines(self) -> Iterator[bytes]:
        self._spool.seek(0)
        yield from self._spool


def _line(each: Audited) -> bytes:
    """One record: the rules that it breaks, a tab, and the rest as JSON."""
    marks = b"".join({_ORDER[fault.rule] for fault in each.faults})
    return b"%b\t%b\n" % (marks, json.dumps(values_of(each)).encode("ascii"))


def _parsed(line: bytes) -> Audited:
    return audited_of(json.loads(line.partition(b"\t")[2]))
