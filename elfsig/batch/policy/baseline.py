"""What ``--expect`` of audit names: as :mod:`elfsig.verbs.audit.expected` has it, and tables in Parquet."""

from __future__ import annotations

from elfsig.batch.survey.tables import MAGIC, is_table, read_records
from elfsig.errors import ParseError, ReadError, UsageError
from elfsig.verbs.audit.baseline import baseline_of
from elfsig.verbs.audit.drift import Drift
from elfsig.verbs.audit.expected import Check, expected


def expected_modules(text: str) -> Check:
    """What should be there: a number, a modules.order, a JSON output of elfsig, a table of ``survey``.

    Raises UsageError for anything else, ReadError.
    """
    if not _is_table(text):
        return expected(text)
    try:
        return Drift(text, baseline_of(read_records(text)), complete=True)
    except (ParseError, ReadError) as reason:
        raise UsageError(f"{text}: {reason.text}", code="baseline") from None


def _is_table(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return is_table(file.read(len(MAGIC)))
    except (OSError, ValueError):
        return False
