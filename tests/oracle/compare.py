"""Where a kernel's answer differs from elfsig's prediction, in words; and answers as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from elfsig.kernels.profile import Prediction
from tests.oracle.report import Answer

RARE = re.compile(r".*tainting kernel|Lockdown: ")
"""Lines that a kernel prints once, or not again for a while."""

SPOKEN = re.compile(
    r"(Loading of|Lockdown:|PKCS7:|PKCS#7|module:|Unsupported|Module hash|.*: module verification failed) "
)
"""How lines of the signature check begin. What else is logged concerns the ELF file, or the emulator."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a kernel did not do as predicted."""

    case: str
    mode: str
    text: str

    def __str__(self) -> str:
        return f"{self.case} ({self.mode}): {self.text}"


class Expected(NamedTuple):
    """What was predicted: the errno by name (None: it loads), the taint letter, the log, and why."""

    errno: str | None
    taint: str
    log: tuple[str, ...]
    reason: str

    def unless(self, loads: bool) -> Expected:
        """For a file that passes the signature check and is not a module of this kernel."""
        return self if loads or self.errno else self._replace(errno="ENOEXEC")


def of_prediction(given: Prediction) -> Expected:
    return Expected(None if given.accepted else given.errno, given.taint or "", given.log, given.reason)


def of_json(kernel: Mapping[str, Any]) -> Expected:
    """The member ``kernel`` of a file in elfsig's JSON."""
    return Expected(kernel["errno"], kernel["taint"] or "", tuple(kernel["log"]), kernel["reason"])


def differ(expected: Expected, answer: Answer) -> Iterator[str]:
    """In words, each difference between the prediction and the answer."""
    if answer.errno != expected.errno:
        yield f"errno {answer.errno}, predicted {expected.errno} ({expected.reason})"
    if answer.taint is not None and answer.taint != expected.taint:
        yield f"taint {answer.taint!r}, predicted {expected.taint!r}"
    patterns = [_pattern(line) for line in expected.log]
    for line, pattern in zip(expected.log, patterns, strict=True):
        if not RARE.match(line) and not any(pattern.fullmatch(said) for said in answer.log):
            yield f"the line {line!r} is missing in {answer.log}"
    for said in answer.log:
        if SPOKEN.match(said) and not any(pattern.fullmatch(said) for pattern in patterns):
            yield f"the line {said!r} was not predicted"


def _pattern(line: str) -> re.Pattern[str]:
    """The pattern of a predicted line: the kernel's own numbers are left open in it."""
    text = re.escape(line).replace(r"\[\.\.\]", r"\[[^\]]*\]")
    return re.compile(re.sub(r"\bN\b", r"\\d+", text))


def word(answer: Answer) -> str:
    """An answer in a word: the errno, or that it loads, and with which taint."""
    return answer.errno or ("loads, " + answer.taint if answer.taint else "loads")


def table(columns: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A table in Markdown: for each column a word by row; "-" where a column lacks a row."""
    yield "| case | " + " | ".join(columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    rows: Sequence[str] = list(dict.fromkeys(row for column in columns.values() for row in column))
    for row in rows:
        yield f"| {row} | " + " | ".join(column.get(row, "-") for column in columns.values()) + " |"
