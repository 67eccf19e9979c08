"""The exit codes. The numbers are part of the interface.

0: every file is valid. 1: some file is not. 2: usage error. 3: the simulated kernel refuses some file.
4: no verdict for some file. 5: some file could not be read, or no file was found. If several apply, the
first in PRECEDENCE is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.model import FileReport, Verdict
from elfsig.verbs.verify.layers import deciding

GOOD, BAD, USAGE, REFUSED, NO_VERDICT, UNREADABLE = 0, 1, 2, 3, 4, 5

PRECEDENCE = (BAD, REFUSED, UNREADABLE, NO_VERDICT, GOOD)

BY_VERDICT = {
    Verdict.VALID: GOOD,
    Verdict.INVALID: BAD,
    Verdict.MALFORMED: BAD,
    Verdict.UNSIGNED: BAD,
    Verdict.NOT_A_SIGNATURE: BAD,
    Verdict.UNKNOWN_KEY: NO_VERDICT,
    Verdict.UNTRUSTED: NO_VERDICT,
    Verdict.UNSUPPORTED: NO_VERDICT,
    Verdict.UNCHECKED: NO_VERDICT,
}


def combined(codes: Iterable[int]) -> int:
    """The exit code of a run, from the codes of its files; GOOD if there are none."""
    seen = set(codes)
    return next((code for code in PRECEDENCE if code in seen), GOOD)


def of_report(report: FileReport, require: str | None = None) -> int:
    """The code of one file. ``require``: the id of a format of which a valid signature is required."""
    if report.verdict is None:
        return UNREADABLE
    code = BY_VERDICT[report.verdict]
    return code if require is None else combined((code, _requirement(report, require)))


def _requirement(report: FileReport, require: str) -> int:
    """GOOD if a signature of that format is valid, by all its signers; BAD if there is none of it."""
    codes = [BY_VERDICT[f.verdict] for f in deciding(report.signatures) if f.format == require]
    if GOOD in codes:
        return GOOD
    return combined(codes) if codes else BAD
