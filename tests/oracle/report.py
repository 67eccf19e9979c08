"""The report that the first program of a guest writes, and how it is read.

A line is its fields with tabs between them. The report is between a line "begin" (a firmware may have
written to the same port before) and a line "end" with the number of lines and the sum of their bytes, so
that a lost line is noticed.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field


class BootFailed(Exception):
    """The kernel did not come up, or its report is not whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel gave for one case in one mode: the errno by name (None: loaded), the log since, and
    the taint letters of the module, where it was loaded."""

    errno: str | None
    log: tuple[str, ...]
    taint: str | None


@dataclass
class Command:
    """A program that ran in the guest: its words, its exit code, and what it printed, by lines."""

    words: tuple[str, ...]
    code: int
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)


@dataclass
class Report:
    """Everything that one boot reported.

    ``answers`` are by mode, then by case; ``keys`` are lines of /proc/keys, ``keyrings`` the descriptions of
    the keys on each of the system's keyrings, ``boot`` lines of the log about certificates, ``variables``
    those of UEFI and shim, ``seconds`` how long it took, ``asking`` a case that has no answer.
    """

    release: str = ""
    compression: str = ""
    seconds: float = 0.0
    boot: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    keyrings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    variables: dict[str, bytes] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    modes: dict[str, tuple[str, str]] = field(default_factory=dict)
    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    asking: str | None = None


def body(text: str, *, whole: bool = True) -> list[str] | None:
    """The lines between "begin" and "end"; None where one of them or any other line is missing.

    ``whole`` False: a report that breaks off is good as well, up to its last complete line.
    """
    _, begun, text = text.replace("\r", "").partition("\nbegin\n")
    lines = text.split("\n")
    if begun and not whole and "\nend\t" not in text:
        return lines[:-1]
    end = next((i for i, line in enumerate(lines) if line.startswith("end\t")), None)
    if not begun or end is None:
        return None
    total = sum(sum(line.encode(errors="surrogateescape")) + 10 for line in lines[:end])
    return lines[:end] if lines[end].split("\t")[1:] == [str(end), str(total)] else None


def parse(text: str, *, whole: bool = True) -> Report | None:
    """The report in ``text``; None where it is not whole, or with ``whole`` False where there is none."""
    lines = body(text, whole=whole)
    return None if lines is None else _Reader().read(lines)


def errno_name(number: int) -> str | None:
    """The name of an errno of Linux, None for 0."""
    return errno.errorcode.get(number, str(number)) if number else None


class _Reader:
    """Lines of the report, one after the other; a line of a case belongs to the last "answer"."""

    def __init__(self) -> None:
        self.report = Report()
        self.mode = self.case = ""

    def read(self, lines: Sequence[str]) -> Report:
        for line in lines:
            word, *fields = line.split("\t")
            getattr(self, f"_{word}")(*fields)
        return self.report

    def _release(self, text: str = "") -> None:
        self.report.release = text

    def _compression(self, text: str = "") -> None:
        self.report.compression = text

    def _boot(self, *text: str) -> None:
        self.report.boot.append("\t".join(text))

    def _before(self, name: str, number: str) -> None:
        self.report.before[name] = int(number)

    def _key(self, *text: str) -> None:
        self.report.keys.append("\t".join(text))

    def _keyring(self, name: str, *keys: str) -> None:
        self.report.keyrings[name] = keys

    def _variable(self, name: str, content: str = "") -> None:
        self.report.variables[name] = bytes.fromhex(content)

    def _mode(self, name: str, locked: str, enforced: str) -> None:
        self.mode = name
        self.report.modes[name] = (locked, enforced)
        self.report.answers[name] = {}

    def _asking(self, case: str) -> None:
        self.report.asking = case

    def _answer(self, case: str, number: str) -> None:
        self.case = case
        self.report.asking = None
        self._replace(Answer(errno_name(int(number)), (), None))

    def _log(self, *text: str) -> None:
        answer = self.report.answers[self.mode][self.case]
        self._replace(Answer(answer.errno, (*answer.log, "\t".join(text)), answer.taint))

    def _loaded(self, module: str, taint: str, stuck: str) -> None:
        if int(stuck):
            raise BootFailed(f"{module} of {self.case} could not be removed again: errno {stuck}")
        answer = self.report.answers[self.mode][self.case]
        self._replace(Answer(answer.errno, answer.log, taint))

    def _replace(self, answer: Answer) -> None:
        self.report.answers[self.mode][self.case] = answer

    def _command(self, code: str, *words: str) -> None:
        self.report.commands.append(Command(words, int(code)))

    def _out(self, *text: str) -> None:
        self.report.commands[-1].out.append("\t".join(text))

    def _err(self, *text: str) -> None:
        self.report.commands[-1].err.append("\t".join(text))
